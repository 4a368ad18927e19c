/** All claims, by number. */
import type { Claim } from '../claim.ts';
import { CASCADE_LAKE_CLAIMS } from './cascadeLake.ts';
import { MODEL_CLAIMS } from './models.ts';
import { OPTERON_CLAIMS } from './opteron.ts';
import { SOFTWARE_CLAIMS } from './software.ts';
import { WALK_CLAIMS } from './walks.ts';

/** Every published claim that is tried or accounted for, by number. */
export const CLAIMS: readonly Claim[] = [
  ...WALK_CLAIMS,
  ...CASCADE_LAKE_CLAIMS,
  ...OPTERON_CLAIMS,
  ...SOFTWARE_CLAIMS,
  ...MODEL_CLAIMS,
].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
