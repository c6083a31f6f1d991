#define SEQVAE_VARIANT baseline
#include "gaussian_loops.h"
