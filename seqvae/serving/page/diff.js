// Which words of one sentence are not in another, in order.

const words = (text) => text.split(/\s+/u).filter((word) => word !== "");

// Case, and the marks around a word, are no change of wording.
const plain = (word) => word.toLowerCase().replace(/^[\p{P}\p{S}]+|[\p{P}\p{S}]+$/gu, "") || word;

/**
 * @param {string} from
 * @param {string} to
 * @returns {{word: string, fresh: boolean}[]} the words of `to`; fresh are those outside the
 *   longest common subsequence with `from`
 */
export function freshWords(from, to) {
  const a = words(from).map(plain);
  const shown = words(to);
  const b = shown.map(plain);
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] =
        a[i] === b[j]
          ? longest[i + 1][j + 1] + 1
          : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const result = [];
  let i = 0;
  for (let j = 0; j < b.length; j += 1) {
    while (i < a.length && a[i] !== b[j] && longest[i + 1][j] >= longest[i][j + 1]) i += 1;
    const same = i < a.length && a[i] === b[j];
    if (same) i += 1;
    result.push({ word: shown[j], fresh: !same });
  }
  return result;
}
