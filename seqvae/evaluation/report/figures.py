"""The curves of a run."""

import math

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqvae.evaluation.report import curves, svg
from seqvae.evaluation.report.html import Html, figure, swatches
from seqvae.evaluation.report.record import RunRecord, number
from seqvae.evaluation.report.svg import INK
from seqvae.objectives import RateTarget

MOST_COLUMNS = 200


def likelihood(run: RunRecord) -> Html | None:
    """What a sequence costs, in training and validation."""
    trained = curves.series(run.train, lambda row: curves.total(row, "reconstruction", "kl"))
    elbo = curves.series(run.valid, lambda row: number(row.get("elbo")))
    bound = curves.series(run.valid, lambda row: number(row.get("bound")))
    if not len(trained[0]) and not len(bound[0]):
        return None
    with svg.style():
        drawing = svg.new_figure()
        axes = drawing.add_subplot()
        curves.line(axes, trained, "soft", style="-", width=1.1)
        curves.line(axes, elbo, "blue", marker="o")
        curves.line(axes, bound, "orange", marker="s")
        curves.label(axes, "nats a sequence")
        curves.zoom(axes, [trained, elbo, bound])
        words = curves.told("Negative log-likelihood", bound, "on validation sentences")
        content = svg.inline(drawing, "likelihood", words)
    plain = run.is_language_model
    legend = [("─", "soft", "training" + ("" if plain else ", -ELBO"))]
    if len(elbo[0]):
        legend.append(("●", "blue", "validation, -ELBO"))
    if len(bound[0]):
        legend.append(
            ("■", "orange", "validation, " + ("exact" if plain else "tighter bound (K = 8)"))
        )
    return figure(
        "What a sentence costs",
        content,
        "Lower is better. Validation rising while training falls means that the model learns "
        "sentences by heart: train shorter, on more text, or a smaller model.",
        swatches(legend),
    )


def rate(run: RunRecord) -> Html | None:
    """KL against its target, and the weight that holds it there."""
    trained, valid = curves.named(run.train, "kl"), curves.named(run.valid, "kl")
    beta = curves.named(run.train, "beta")
    if run.is_language_model or not (len(trained[0]) or len(valid[0])):
        return None
    objective = run.experiment.objective
    target = objective.rate if isinstance(objective, RateTarget) else None
    with svg.style():
        drawing = svg.new_figure(300)
        upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
        if target is not None:
            upper.axhline(target, color=INK["green"], linestyle=(0, (5, 3)), linewidth=1.4)
        curves.line(upper, trained, "soft", width=1.1)
        curves.line(upper, valid, "blue", marker="o")
        for row in run.guard:
            if "remedy:" in str(row.get("words")):
                for axes in (upper, lower):
                    axes.axvline(row["step"], color=INK["violet"], linestyle=":", linewidth=1.4)
        curves.label(upper, "KL, nats")
        upper.set_xlabel("")
        curves.zoom(upper, [trained, valid], also=target, floor=0.0)
        curves.line(lower, beta, "orange")
        curves.label(lower, "β")
        if len(beta[1]) and beta[1].max() > 10 * max(beta[1].min(), 1e-12):
            curves.logarithmic(lower)
        words = curves.told("KL", valid, "on validation sentences")
        if target is not None:
            words += f" Its target is {target:g} nats."
        content = svg.inline(drawing, "rate", words)
    legend = [("─", "soft", "training"), ("●", "blue", "validation"), ("─", "orange", "β (below)")]
    if target is not None:
        legend.append(("╌", "green", f"target, {target:g} nats"))
    if any("remedy:" in str(row.get("words")) for row in run.guard):
        legend.append(("┊", "violet", "guard's remedy"))
    return figure(
        "How much the latent carries (KL)",
        content,
        "The KL is what the latent says of a sentence, in nats. β is its price: it sinks while the "
        "latent carries too little and rises while it carries too much.",
        swatches(legend),
    )


def information(run: RunRecord) -> Html | None:
    """Mutual information against its cap, with the KL that pays for it and the gap that uses it."""
    mi, cap = curves.named(run.valid, "mi"), curves.named(run.valid, "mi_cap")
    kl, gap = curves.named(run.valid, "kl"), curves.named(run.valid, "prior_gap")
    if not len(mi[0]):
        return None
    with svg.style():
        drawing = svg.new_figure()
        axes = drawing.add_subplot()
        if len(cap[0]):
            axes.axhline(cap[1][-1], color=INK["green"], linestyle=(0, (5, 3)), linewidth=1.4)
        curves.line(axes, kl, "soft", marker="s", width=1.1)
        curves.line(axes, gap, "orange", marker="^")
        curves.line(axes, mi, "blue", marker="o")
        curves.label(axes, "nats a sequence")
        curves.zoom(axes, [mi, kl, gap], also=float(cap[1][-1]) if len(cap[0]) else None, floor=0.0)
        content = svg.inline(drawing, "information", curves.told("Mutual information", mi, ""))
    legend = [("●", "blue", "mutual information")]
    if len(cap[0]):
        sentences = round(math.exp(min(cap[1][-1], 60)))
        legend.append(("╌", "green", f"its cap, ln {sentences:,} = {cap[1][-1]:.2f}"))
    legend += [("▲", "orange", "prior gap"), ("■", "soft", "KL")]
    return figure(
        "Whether it is information, and whether it is used",
        content,
        "Mutual information tells sentences apart; it cannot pass the KL, nor the logarithm of the "
        "number of sentences it is measured on. The prior gap is what the decoder loses when it is "
        "given a latent that is not the sentence's own: near zero, it ignores the latent.",
        swatches(legend),
    )


def dimensions(run: RunRecord) -> Html | None:
    """KL of each dimension at each validation, as a heat map."""
    rows = [row for row in run.valid if isinstance(row.get("kl_dimensions"), list)]
    size = len(rows[-1]["kl_dimensions"]) if rows else 0
    rows = [row for row in rows if len(row["kl_dimensions"]) == size]
    if not size:
        return None
    if len(rows) > MOST_COLUMNS:
        chosen = np.linspace(0, len(rows) - 1, MOST_COLUMNS).round().astype(int)
        rows = [rows[i] for i in chosen]
    values = np.array([[number(v) or 0.0 for v in row["kl_dimensions"]] for row in rows])
    grid = values[:, np.argsort(-values[-1], kind="stable")].T.clip(min=0)
    # The first validations of a run may be wild: the shade of the rest must not depend on them.
    top = max(float(np.quantile(grid, 0.99)), float(grid[:, -1].max()), 1e-6)
    shade = np.zeros((*grid.shape, 4))
    shade[..., :3] = np.array([0x2A, 0x78, 0xD6]) / 255
    shade[..., 3] = (grid / top).clip(max=1.0)
    with svg.style():
        drawing = svg.new_figure(300)
        axes = drawing.add_subplot()
        axes.imshow(shade, aspect="auto", interpolation="none", origin="upper")
        axes.grid(visible=False)
        steps = [f"{row['step']:,.0f}" for row in rows]
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: steps[int(x)] if 0 <= x < len(steps) else "")
        )
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y + 1:.0f}"))
        axes.set_xlabel("step", color=INK["soft"])
        axes.set_ylabel("dimension, by its last KL")
        alive = int((grid[:, -1] > 0.05).sum())
        words = (
            f"Heat map of the KL of {size} dimensions over {len(rows)} validations; at the last, "
            f"{alive} carry more than 0.05 nats, the greatest {grid[:, -1].max():.2f}."
        )
        content = svg.inline(drawing, "dimensions", words)
    legend = Html(f'<p class="ramp">0 <span aria-hidden="true"></span> {top:.2f} nats</p>')
    return figure(
        "KL of each dimension over time",
        content,
        "One row a dimension, one column a validation. Pale rows carry nothing; a page that goes "
        "pale from left to right is a collapse.",
        legend,
    )


def optimiser(run: RunRecord) -> Html | None:
    """Learning rate and gradient norm."""
    pace, norm = curves.named(run.train, "learning_rate"), curves.named(run.train, "gradient_norm")
    if not len(pace[0]):
        return None
    with svg.style():
        drawing = svg.new_figure()
        upper, lower = drawing.subplots(2, 1, sharex=True)
        curves.line(upper, pace, "blue")
        curves.label(upper, "learning rate")
        upper.set_xlabel("")
        curves.line(lower, norm, "orange")
        curves.label(lower, "gradient norm")
        curves.zoom(lower, [norm], floor=0.0)
        words = curves.told("The gradient's norm", norm, "before clipping")
        content = svg.inline(drawing, "optimiser", words)
    return figure(
        "The optimiser",
        content,
        f"Norms above {run.experiment.training.clip:g} are clipped to it. Rising norms: lower "
        "the learning rate.",
    )
