/** The package's options as the recipe's form calls them. */
const LABELS: [RegExp, string][] = [
  [/\bprecision f32\b/g, '“Half precision (f16)” switched off'],
  [/\bbatchSize\b/g, '“Pictures a step”'],
  [/\bgradAccum\b/g, '“Batches added up”'],
  [/\brecompute\b/g, '“Less memory, more work”'],
  [/\bwarmupSteps\b/g, '“Warm-up steps”'],
  [/\blr\b/g, '“Learning rate”'],
  [/\bweightDecay\b/g, '“Weight decay”'],
  [/\bclipGrad\b/g, '“Clip gradients at”'],
  [/\bcolorJitter\b/g, '“Vary colours”'],
  [/\bmask ratio\b/g, '“Hidden share”'],
];

/** An error whose advice names fields of the form in the place of options. */
export function inFormWords(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DOMException) return error;
  const worded = new Error(
    LABELS.reduce((text, [option, label]) => text.replace(option, label), error.message),
  );
  worded.name = error.name;
  return worded;
}
