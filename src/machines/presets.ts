/** Machines that are known by name: Intel's, AMD's and Arm's processors, oldest first, and one for teaching. */
import type { MachineConfig } from '../config/resolved.ts';
import { AMD } from './amd.ts';
import { ARM } from './arm.ts';
import { INTEL } from './intel.ts';
import type { MachinePreset } from './preset.ts';
import { TINY } from './tiny.ts';

export { type MachinePreset, sourceOf } from './preset.ts';

/** A machine with its fields in the order in which configurations have them. */
function inOrder(machine: MachineConfig): MachineConfig {
  const { l1d, l1i, stlb, psc, nestedPsc, ntlb, pwc, caches, memoryLatency, stlbLatency } = machine;
  const { dataThroughCaches, nestedAD, tagged } = machine;
  const structures = { l1d, l1i, stlb, psc, nestedPsc, ntlb, pwc, caches };
  return { ...structures, memoryLatency, stlbLatency, dataThroughCaches, nestedAD, tagged };
}

/** All machine presets by name. */
export const MACHINE_PRESETS: Readonly<Record<string, MachinePreset>> = Object.fromEntries(
  [...INTEL, ...AMD, ...ARM, TINY].map((preset) => [
    preset.name,
    { ...preset, machine: inOrder(preset.machine) },
  ]),
);
