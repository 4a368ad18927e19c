/** Numbers, bytes and times as people read them. They are written for the browser, so that a page says what a terminal says. */
export {
  bytes,
  count,
  countOf,
  decimal,
  duration,
  fine,
  mean,
  perCent,
  rate,
  ratio,
} from './browser/format.js';
