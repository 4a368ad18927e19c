/** A simulated machine as a platform drives it. */
import { contextBlock } from '../engine/machineBlock.ts';
import type { Hardware, HardwareContext, Processor } from '../memory/hardwareInterface.ts';
import { CONTEXT_SLOTS } from '../schema.ts';

/** Hardware that can be loaded with a context block, as both engines can. */
export interface LoadableHardware extends Hardware {
  /** Loads a context block (src/schema.ts); hardware without this keeps the context that it has. */
  loadContext?(context: Float64Array): void;
}

/** Hardware as a processor of a platform. Loading allocates nothing. */
export function processorOf(hardware: LoadableHardware): Processor {
  const block = new Float64Array(CONTEXT_SLOTS);
  return {
    load(context: HardwareContext): void {
      hardware.loadContext?.(contextBlock(context, block));
    },
    invlpg: (tag, page) => hardware.invlpg(tag, page),
    flushTag: (tag) => hardware.flushTag(tag),
    invept: (vm) => hardware.invept(vm),
    flushAll: () => hardware.flushAll(),
  };
}
