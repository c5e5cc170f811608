import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readTensors, type TensorFile, writeTensors } from './safetensors.ts';

/** The model that comes with the package. */
export const SHIPPED = new Uint8Array(readFileSync('models/photos-96.safetensors'));

const GOLDEN = 'tests/fixtures/golden';

/** A small model as Hugging Face publishes them: the file, and the `config.json` beside it. */
export function huggingFace(dtype: 'F32' | 'BF16' = 'F32'): { file: Uint8Array; config: string } {
  const golden = readTensors(readFileSync(`${GOLDEN}/hf_mae_tiny.safetensors`));
  const manifest = JSON.parse(readFileSync(`${GOLDEN}/manifest.json`, 'utf8')) as {
    cases: { name: string; config: object }[];
  };
  const { config } = manifest.cases.find(({ name }) => name === 'hf_mae_tiny') ?? {};
  const parameters = [...golden.tensors].filter(([name]) => name.startsWith('param.'));
  const tensors = new Map(parameters.map(([name, value]) => [name.replace('param.', ''), value]));
  return {
    file: writeTensors({ tensors, metadata: { format: 'pt' } }, dtype),
    config: JSON.stringify(config),
  };
}

/** Sizes of the small model, and those of a large one. */
const GROWN: Record<number, number> = { 64: 768, 128: 3072, 48: 512, 96: 2048 };

/** A file of Hugging Face's names with some 50 million parameters, all zero, and its `config.json`. */
export function large(): { file: Uint8Array; config: string } {
  const { file, config } = huggingFace();
  const tensors: TensorFile['tensors'] = new Map();
  for (const [name, { shape: small }] of readTensors(file).tensors) {
    const shape = small.map((size) => GROWN[size] ?? size);
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
    const [, before, after] = /^(vit.*layer\.)1(\..*)$/.exec(name) ?? [];
    const names = before ? [1, 2, 3, 4, 5].map((layer) => before + layer + after) : [name];
    for (const each of names) tensors.set(each, { shape, values });
  }
  const fields = Object.entries(JSON.parse(config) as Record<string, number>).map(
    ([field, size]) => [field, /hidden_size|intermediate/.test(field) ? GROWN[size] : size],
  );
  return {
    file: writeTensors({ tensors, metadata: {} }),
    config: JSON.stringify({
      ...Object.fromEntries(fields),
      num_hidden_layers: 6,
      num_attention_heads: 12,
    }),
  };
}

export function sha256(bytes: Uint8Array, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHash('sha256').update(bytes).digest(encoding);
}
