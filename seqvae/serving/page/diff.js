// Which words of one sentence are not in another, in order.

// Knows the words of languages that write without spaces, too.
const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
// Beyond this many words times words, the comparison is not worth its time.
const MOST = 1_000_000;

const pieces = (text) => [...segmenter.segment(text)];
const plain = (piece) => piece.segment.toLowerCase();

/** Length of the longest common subsequence of every pair of tails. */
function commonTails(a, b) {
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] =
        a[i] === b[j]
          ? longest[i + 1][j + 1] + 1
          : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  return longest;
}

/** For each of `b` whether it lies outside the longest common subsequence with `a`. */
function outside(a, b) {
  if (a.length * b.length > MOST) return b.map(() => false);
  const longest = commonTails(a, b);
  let i = 0;
  return b.map((word, j) => {
    while (i < a.length && a[i] !== word && longest[i + 1][j] >= longest[i][j + 1]) i += 1;
    const same = i < a.length && a[i] === word;
    if (same) i += 1;
    return !same;
  });
}

/**
 * Case, spaces and punctuation are no change of wording.
 *
 * @param {string} from
 * @param {string} to
 * @returns {{text: string, fresh: boolean}[]} the parts of `to`, joined they are `to`; fresh are
 *   the words that `from` does not have there
 */
export function freshWords(from, to) {
  const shown = pieces(to);
  const words = shown.filter((piece) => piece.isWordLike);
  const known = pieces(from).filter((piece) => piece.isWordLike);
  const fresh = outside(known.map(plain), words.map(plain));
  let word = 0;
  return shown.map((piece) => ({
    text: piece.segment,
    fresh: piece.isWordLike ? fresh[word++] : false,
  }));
}
