/* The page's one event bus. */

const EVENTS = {
  page: [], // the page is there, its tracks may be not
  drawn: [], // a gene, a threshold or a run now stands on the screen
  browser: [], // igv.js was started anew; who emits it waits until its listeners are done
  "left-out": [], // a track could not be loaded, and is not shown
  tab: [], // a tab was opened or closed
};

export function on(event, listener) {
  EVENTS[event].push(listener);
}

export function once(event, listener) {
  const first = () => {
    EVENTS[event].splice(EVENTS[event].indexOf(first), 1);
    return listener();
  };
  on(event, first);
}

/* Call all listeners; the promise is done when all of them are. What one throws does not stop the others. */
export function emit(event) {
  return Promise.all([...EVENTS[event]].map(async (listener) => listener()));
}
