#define NESTWALK_TIER base
#define NESTWALK_FACTORY make_machine_base
#include "tier.h"
