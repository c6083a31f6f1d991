#define SEQVAE_VARIANT avx512
#include "gaussian_loops.h"
