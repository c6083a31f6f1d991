#!/bin/sh
# Ask a running `seqvae serve BUNDLE` from a shell.
#
#     sh examples/curl.sh [ADDRESS] [MODEL]
#
# Where the server wants a key: export SEQVAE_API_KEY.
set -eu
address=${1:-http://127.0.0.1:8000}
model=${2:-model}
json='Content-Type: application/json'

ask() {
    # The server's own message says more than curl's, so its body is printed on an error too.
    curl --silent --show-error --fail-with-body --max-time 60 \
        --header "$json" --header "Authorization: Bearer ${SEQVAE_API_KEY:-}" "$@"
    echo
}

echo '# what is served'
ask "$address/v1/info"

echo '# the same said differently'
ask "$address/v1/paraphrase" \
    --data '{"texts": ["and he went up into the mountain"], "n": 3, "noise_scale": 1.0, "seed": 7}'

echo '# from one sentence to another'
ask "$address/v1/interpolate" \
    --data '{"a": "he went up into the mountain", "b": "the king slept", "steps": 5}'

echo '# how surprising each piece is'
ask "$address/v1/score" --data '{"texts": ["and he went up into the mountain"], "samples": 16}'

echo '# new sentences'
ask "$address/v1/sample" --data '{"n": 3, "seed": 1}'

echo '# the Open Inference Protocol, as Triton and KServe speak it'
ask "$address/v2/models/$model/infer" --data '{
  "inputs": [
    {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["and he went up"]},
    {"name": "seed", "datatype": "INT64", "shape": [1, 1], "data": [7]},
    {"name": "temperature", "datatype": "FP32", "shape": [1, 1], "data": [0.7]}
  ]
}'
