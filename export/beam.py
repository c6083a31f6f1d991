"""One step of beam search as a module that exports to ONNX: what `seqvae.tasks.beam` finds.

K sequences are kept for each of B rows; no row is dropped, one that is done stays as it is. The
decoder runs on B * K rows, those of one text beside each other. `token` and the gathered caches go
to the decoder, everything else goes round the loop; the end of the loop is where all of `done` hold.

    state           shape       type     first value     what it is
    log_prob        [B, K]      float32  0, then -inf    nats of each sequence kept; K times the same
                                                         empty one at first: only one of them counts
    penalty         [B, K]      float32  1               what finished sequences are divided by
    finished        [B, K]      bool     false           whether they end with the end token
    history         [B, K, T]   int64    T = 0           their tokens, 0 behind the end token
    best_score      [B, 1]      float32  -inf            log_prob / penalty of the best ever finished
    best_log_prob   [B, 1]      float32  -inf            its nats
    best_ids        [B, T]      int64    T = 0           its tokens, end token included, 0 behind it
    done            [B, 1]      bool     false           whether nothing can change it any more

Each comes out as `n_` and its name; T grows by one. When the loop has ended, the answer is
`best_ids`, `best_log_prob`, and `best_score` > -inf for `complete`.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqvae.data.text import EOS, PAD
from seqvae.export.choose import Choice
from seqvae.export.noise import quotient

STATE = (
    "log_prob",
    "penalty",
    "finished",
    "history",
    "best_score",
    "best_log_prob",
    "best_ids",
    "done",
)
"""Names of the state in the order of the arguments and of the results behind `token` and `parent`."""
NOTHING = float("-inf")


class BeamStep(Choice):
    """The K best continuations of each row's sequences.

    Args:
        vocabulary: V.
        beam: K, at most V - 4.

    Raises:
        ValueError: the vocabulary has fewer than K tokens that may come.
    """

    def __init__(self, vocabulary: int, beam: int) -> None:
        super().__init__(vocabulary)
        if not 1 <= beam <= vocabulary - 4:
            raise ValueError(f"beam must be 1 to {vocabulary - 4} (the vocabulary less 4): {beam}")
        self.beam = beam
        itself = torch.full((beam,), NOTHING)
        itself[0] = 0.0
        self.register_buffer("itself", itself)

    def start(self, count: int) -> tuple[Tensor, ...]:
        """First values of the state for `count` rows, in the order of `STATE`."""
        log_prob = torch.full((count, self.beam), NOTHING)
        log_prob[:, 0] = 0.0
        return (
            log_prob,
            torch.ones(count, self.beam),
            torch.zeros(count, self.beam, dtype=torch.bool),
            torch.zeros(count, self.beam, 0, dtype=torch.int64),
            torch.full((count, 1), NOTHING),
            torch.full((count, 1), NOTHING),
            torch.zeros(count, 0, dtype=torch.int64),
            torch.zeros(count, 1, dtype=torch.bool),
        )

    def forward(
        self,
        logits: Tensor,
        position: Tensor,
        length_penalty: Tensor,
        max_length: Tensor,
        log_prob: Tensor,
        penalty: Tensor,
        finished: Tensor,
        history: Tensor,
        best_score: Tensor,
        best_log_prob: Tensor,
        best_ids: Tensor,
        done: Tensor,
    ) -> tuple[Tensor, ...]:
        """One step.

        Args:
            logits: of the decoder, shape [B * K, V], float32.
            position: tokens written so far, T, int64, shape [].
            length_penalty: alpha of each row, see `seqvae.tasks.beam.penalty`, float32 [B, 1].
            max_length: most tokens of each row, the end token counted; 1 or more, int64 [B, 1].
            log_prob: state, see the top of this file; so are all that follow.
            penalty: state.
            finished: state.
            history: state.
            best_score: state.
            best_log_prob: state.
            best_ids: state.
            done: state.

        Returns:
            `token` for the next step of the decoder, int64 [B * K, 1]; `parent`, rows of its caches
            from which the next step continues, int64 [B * K]; then the state, in the order of
            `STATE`.
        """
        beam, length = self.beam, position + 1
        # Only the K best continuations of a sequence can be among the K best of its row.
        some, tokens = self.allowed(logits.log_softmax(1)).topk(beam)
        shape = (log_prob.shape[0], beam, beam)
        some, tokens = some.view(shape), tokens.view(shape)
        # A finished sequence has one continuation: itself, at no cost.
        some = torch.where(finished[..., None], self.get_buffer("itself"), some)
        tokens = torch.where(finished[..., None], PAD, tokens)
        divisor = torch.where(finished, penalty, _penalty(length, length_penalty))
        total = log_prob[..., None] + some
        chosen = (total / divisor[..., None]).flatten(1).topk(beam).indices
        place = quotient(chosen, beam)
        token = tokens.flatten(1).gather(1, chosen)
        first = torch.arange(place.shape[0], device=place.device)[:, None] * beam
        parent = (first + place).flatten()

        log_prob = total.flatten(1).gather(1, chosen)
        penalty = divisor.gather(1, place)
        finished = finished.gather(1, place) | (token == EOS)
        lines = torch.cat([history.flatten(0, 1).index_select(0, parent), token.view(-1, 1)], 1)
        best_ids = pad(best_ids, (0, 1), value=PAD)

        score = torch.where(finished, log_prob / penalty, NOTHING)
        growing = torch.where(finished, NOTHING, log_prob)
        top = score.amax(1, keepdim=True)
        better = (top > best_score) & ~done
        best_score = torch.where(better, top, best_score)
        last = length >= max_length
        # Where nothing finished within the limit, the most probable beginning is the answer.
        begun = last & ~done & (best_score == NOTHING)
        which = torch.where(begun, growing, score).argmax(1, keepdim=True)
        change = better | begun
        best_log_prob = torch.where(change, log_prob.gather(1, which), best_log_prob)
        best_ids = torch.where(change, lines.index_select(0, (first + which).flatten()), best_ids)
        # Growing lowers a log-probability and raises the penalty: this no descendant can beat.
        bound = growing.amax(1, keepdim=True) / _penalty(max_length, length_penalty)
        done = done | last | (bound <= best_score)
        history = lines.view(log_prob.shape[0], beam, -1)
        state = (log_prob, penalty, finished, history, best_score, best_log_prob, best_ids, done)
        return token.view(-1, 1), parent, *state


def _penalty(length: Tensor, alpha: Tensor) -> Tensor:
    """`seqvae.tasks.beam.penalty` with an alpha for each row [B, 1]."""
    return ((5.0 + length) / 6.0) ** alpha
