/** What a scenario runs on: platforms by name, and what it needs of its host. */
import type { PageSize } from '../schema.ts';

/** Platforms that a scenario runs on, by name: those of `paging.mode`, and shadow paging as KVM does it. */
export const SCENARIO_PLATFORMS = ['native', 'nested', 'shadow', 'shadow-unsync', 'paravirt'] as const;
/** One of {@link SCENARIO_PLATFORMS}. */
export type ScenarioPlatform = (typeof SCENARIO_PLATFORMS)[number];

/** What a scenario needs of its host; the same on every platform. */
export interface ScenarioSetup {
  /** Memory that each guest believes it has, in bytes; rounded up to its largest page. */
  memoryBytes: number;
  /** Virtual machines; default 1. Natively they are one machine, with the memory of all. */
  guests?: number;
  /** Virtual processors of each guest; default 1. Number i of every guest runs on core i. */
  vcpus?: number;
  /** Whether guest kernels isolate their page tables (KPTI); default false. */
  kpti?: boolean;
  /** When guest kernels map anonymous memory in 2 MiB pages by themselves; default `never`. */
  hugePages?: 'never' | 'madvise' | 'always';
  /** Largest page that a guest maps; default 2 MiB where `hugePages` lets it, else 4 KiB. */
  largestPage?: PageSize;
  /** Table pages that each guest can have at a time; default one for each 64 pages of its memory, at least 4,096. */
  tablePages?: number;
  /** Which tags the TLBs know; default: what the machine has. */
  tagged?: readonly ('vpid' | 'pcid')[];
}
