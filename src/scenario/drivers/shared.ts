/** What several drivers have in common. */
import { PAGE_BYTES } from '../../schema.ts';
import type { Parameter } from '../parameters.ts';

const PAGE = PAGE_BYTES['4KiB'];
/** Pages that a guest has beyond what its programs touch. */
const SPARE_PAGES = 256;

/** The parameter `memory`. */
export const MEMORY = {
  kind: 'bytes',
  about: 'memory of each guest; 0: what the other parameters need',
  default: 0,
  min: 0,
} as const satisfies Parameter;

/** The parameter `kpti`, off unless a scenario says otherwise. */
export const KPTI = {
  kind: 'flag',
  about: 'whether guest kernels isolate their page tables: two loads of CR3 at every entry',
  default: false,
} as const satisfies Parameter;

/** The parameter `hugePages`. */
export const HUGE_PAGES = {
  kind: 'choice',
  about: 'when guest kernels map memory in 2 MiB pages by themselves',
  default: 'never',
  choices: ['never', 'always'],
} as const satisfies Parameter;

/** Memory of a guest in bytes: what was given, or what so many pages need. */
export const memoryOf = (given: number, pages: number): number =>
  given > 0 ? given : (pages + SPARE_PAGES) * PAGE;

/** Bytes as whole pages. */
export const pagesOf = (bytes: number): number => Math.ceil(bytes / PAGE);

/** Pages of a small buffer: so few are dropped from the TLB one by one. */
export const BUFFER_PAGES = 8;

/** Part number `part` (from 0) of so many parts of a quantity: they are whole and add up to it. */
export const partOf = (whole: number, part: number, parts: number): number =>
  Math.floor((whole * (part + 1)) / parts) - Math.floor((whole * part) / parts);
