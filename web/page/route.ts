/** The page's sections. */
export const ROUTES = ['reconstruct', 'train', 'weights', 'about'] as const;
export type Route = (typeof ROUTES)[number];

/** Safari refuses more than a hundred changes of the address in thirty seconds. */
const SETTLE_MS = 400;

let pending: number | undefined;

/** What the address says: `#/train`, `#/?picture=coffee&seed=3`. */
export function readAddress(): { route: Route; query: URLSearchParams } {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const route = ROUTES.find((name) => name === path) ?? 'reconstruct';
  return { route, query: new URLSearchParams(query) };
}

/** The whole address of a state of Reconstruct. */
export function linkTo(query: URLSearchParams): string {
  const url = new URL(location.href);
  url.hash = `#/?${query}`;
  return url.href;
}

/** Puts a state of Reconstruct into the address bar, once it has stopped changing. */
export function rememberState(query: URLSearchParams): void {
  clearTimeout(pending);
  pending = window.setTimeout(() => {
    if (readAddress().route === 'reconstruct') history.replaceState(null, '', linkTo(query));
  }, SETTLE_MS);
}

/** Calls `arrived` now and whenever the address changes. */
export function followAddress(arrived: (route: Route, query: URLSearchParams) => void): void {
  const follow = () => {
    clearTimeout(pending);
    const { route, query } = readAddress();
    arrived(route, query);
  };
  addEventListener('hashchange', follow);
  follow();
}
