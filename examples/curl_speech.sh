#!/bin/sh
# Change the voice of a recording with a running `seqvae serve BUNDLE` of speech, from a shell.
#
#     sh examples/curl_speech.sh SOUND RESULT.wav [VOICE] [ADDRESS]
#
# SOUND is WAV, FLAC, OGG or MP3 of any rate. VOICE is a name, or a recording of the voice where the
# model hears voices. Where the server wants a key: export SEQVAE_API_KEY.
set -eu
sound=$1 result=$2 voice=${3:-} address=${4:-http://127.0.0.1:8000}

ask() {
    # The server's own message says more than curl's, so its body is kept on an error too.
    curl --silent --show-error --fail-with-body --max-time 300 \
        --header "Authorization: Bearer ${SEQVAE_API_KEY:-}" "$@"
}

echo '# the voices there are'
ask "$address/v1/voices"
echo

if [ -f "$voice" ]; then
    set -- --form "sound=@$sound" --form "voice=@$voice" "$address/v1/convert"
elif [ -n "$voice" ]; then
    set -- --form "sound=@$sound" --form-string "voice=$voice" "$address/v1/convert"
else
    # The shortest way: the file is the body.
    set -- --data-binary "@$sound" --header 'Content-Type: application/octet-stream' "$address/v1/convert"
fi
if ! ask --output "$result" "$@"; then
    cat "$result" >&2
    exit 1
fi
echo "# $result: $(wc -c < "$result") bytes"
