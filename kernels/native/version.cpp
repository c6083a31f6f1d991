#include "seqvae_native.h"

const char* seqvae_version() { return SEQVAE_VERSION; }
