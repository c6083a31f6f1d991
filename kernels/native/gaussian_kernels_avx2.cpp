#define SEQVAE_VARIANT avx2
#include "gaussian_loops.h"
