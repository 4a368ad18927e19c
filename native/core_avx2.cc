#define NESTWALK_TIER avx2
#define NESTWALK_FACTORY make_machine_avx2
#include "tier.h"
