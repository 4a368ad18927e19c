#define NESTWALK_TIER avx512
#define NESTWALK_FACTORY make_machine_avx512
#include "tier.h"
