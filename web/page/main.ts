import { type DeviceChoice, init, support } from 'webmae';
import { showAbout } from './about/section.ts';
import { byId } from './dom.ts';
import { takeFiles } from './intake.ts';
import { MeasureSection } from './measure/section.ts';
import { ReconstructSection } from './reconstruct/section.ts';
import { followAddress, ROUTES, type Route, readAddress } from './route.ts';
import { TrainSection } from './train/section.ts';
import { WeightsSection } from './weights/section.ts';

const NAMES: Record<Route, string> = {
  reconstruct: 'Reconstruct',
  train: 'Train',
  weights: 'Weights',
  about: 'What it is',
};

// Worker and WebAssembly come while the page asks for the adapter. Whoever needs them says what failed.
const device = askedDevice();
init({ device }).catch(() => {});

const reconstruct = new ReconstructSection(readAddress().query);
let opened: string | undefined;
let shown: Route | undefined;

followAddress((route, query) => {
  show(route);
  if (route === 'reconstruct') {
    const link = String(query);
    if (opened === undefined || (link !== '' && link !== opened)) void reconstruct.open(query);
    else reconstruct.remember();
    opened = link;
  }
});

const able = await support(device);
byId('unsupported').hidden = able.device !== undefined;
byId('unsupported-reason').textContent = able.why;
byId('unsupported-advice').textContent = able.advice ?? '';
reconstruct.start(able);
const train = new TrainSection(able);
const weights = new WeightsSection(able);
void showAbout();
new MeasureSection(able);

takeFiles((files) => {
  const { route } = readAddress();
  if (route === 'train') void train.take(files);
  else if (route === 'weights' || files.some(({ name }) => name.endsWith('.safetensors'))) {
    location.hash = '#/weights';
    void weights.take(files);
  } else {
    location.hash = '#/';
    void reconstruct.take(files);
  }
}, takeAddress);

/** A pasted address: of weights where they are loaded, else of a picture. */
function takeAddress(address: string): void {
  if (readAddress().route === 'weights') {
    weights.takeAddress(address);
    return;
  }
  location.hash = '#/';
  void reconstruct.takeAddress(address);
}

/** `?device=cpu` or `?device=webgpu` in the address asks for one, to try it. */
function askedDevice(): DeviceChoice {
  const asked = new URLSearchParams(location.search).get('device');
  return asked === 'cpu' || asked === 'webgpu' ? asked : 'auto';
}

/** Shows one section and hides the others. */
function show(route: Route): void {
  for (const name of ROUTES) byId(name).hidden = name !== route;
  for (const link of document.querySelectorAll<HTMLAnchorElement>('nav [data-route]')) {
    if (link.dataset.route === route) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (shown !== undefined && shown !== route) {
    document.title = `${NAMES[route]} · webmae`;
    scrollTo(0, 0);
    byId('main').focus({ preventScroll: true });
  }
  shown = route;
}
