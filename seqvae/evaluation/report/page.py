"""The page around the sections."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqvae.evaluation.report.html import Html, element, join, safe

# Nothing may be loaded and nothing may run, whatever a sentence in it says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"

_LIGHT = """
--paper:#fbfaf8;--card:#fff;--ink:#1d1c1a;--soft:#615f58;--faint:#bdbab0;--line:#e4e1d9;
--blue:#2a78d6;--orange:#c9541d;--green:#15805a;--violet:#4a3aa7;--red:#c2332f;--amber:#9a6700;
--del:#fbdedb;--ins:#fdeec4;
--class0:#2a78d6;--class1:#eb6834;--class2:#15925f;--class3:#b98200;--class4:#d94f8f;
--class5:#008300;--class6:#4a3aa7;--class7:#e34948;
--step0:#86b6ef;--step1:#3d8be6;--step2:#1c5cab;--step3:#0d366b;
"""
_DARK = """
--paper:#161615;--card:#1e1e1c;--ink:#ecebe6;--soft:#aaa79d;--faint:#6a675f;--line:#383732;
--blue:#5a9ff0;--orange:#f0875a;--green:#35b384;--violet:#a79cf5;--red:#f07a74;--amber:#e0b040;
--del:#5a2a28;--ins:#4d4013;
--class0:#4b95ec;--class1:#e5683c;--class2:#2bb182;--class3:#d79a14;--class4:#e0639a;
--class5:#4fae4f;--class6:#9b91f0;--class7:#f06f6f;
--step0:#2f6ab8;--step1:#4f94e6;--step2:#95c1f5;--step3:#dcebfd;
"""
_STYLE = (
    f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
"""
    + """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.55;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-size:16px}
main,header,footer,nav{max-width:1060px;margin:0 auto;padding:0 20px}
header{padding-top:36px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.35rem;line-height:1.3;margin:0 0 12px}
h3{font-size:1rem;margin:22px 0 6px}
p{margin:0 0 10px;max-width:72ch}
a{color:var(--blue)}
.soft,header p,footer,figcaption{color:var(--soft)}
header p{margin:0 0 4px}
nav ul{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;padding:0;margin:14px 0 0}
nav a{display:inline-block;padding:6px 0}
section{margin:28px 0;padding-top:20px;border-top:1px solid var(--line)}
#verdict{border:1px solid var(--line);border-left:6px solid var(--soft);border-radius:10px;
background:var(--card);padding:22px 24px 14px;margin:20px 0}
#verdict.good{border-left-color:var(--green)}
#verdict.fair{border-left-color:var(--amber)}
#verdict.bad{border-left-color:var(--red)}
#verdict h2{font-size:1.5rem;max-width:44ch;overflow-wrap:anywhere;text-wrap:pretty}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:16px 24px;margin:18px 0}
.tiles dt{color:var(--soft);font-size:.85rem}
.tiles dd{margin:0;color:var(--soft);font-size:.9rem}
.tiles b{font-size:1.55rem;font-weight:600;color:var(--ink);font-variant-numeric:tabular-nums}
.bar{display:block;height:6px;border-radius:3px;background:var(--line);margin-top:6px;overflow:hidden}
.bar span{display:block;height:100%;background:var(--blue);border-radius:3px}
.reasons{list-style:none;padding:0;margin:0 0 12px}
.reasons li{display:flex;gap:12px;margin:6px 0}
.sign{flex:none;width:1.5em;height:1.5em;line-height:1.5em;text-align:center;border-radius:50%;
font-weight:700;border:1.5px solid;font-size:.85rem}
.sign.good{color:var(--green)}.sign.fair{color:var(--amber)}.sign.bad{color:var(--red)}
.sign.none{color:var(--soft)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:22px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:16px 18px 8px;min-width:0}
figure h3{margin:0 0 6px}
#map figure,#rates figure,details figure{max-width:640px}
figcaption{font-size:.9rem}
svg{display:block;width:100%;height:auto;margin:6px 0}
svg text{font-family:inherit}
svg image{image-rendering:pixelated}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;padding:0;margin:0;font-size:.88rem;
color:var(--soft)}
.legend li{overflow-wrap:anywhere}
.legend span{font-weight:700}
.ramp{display:flex;align-items:center;gap:8px;font-size:.88rem;color:var(--soft);margin:0}
.ramp span{width:140px;height:10px;border:1px solid var(--line);
background:linear-gradient(to right,transparent,#2a78d6)}
.wide{overflow-x:auto;margin:10px 0 16px}
table{border-collapse:collapse;width:100%;font-size:.95rem}
caption{text-align:left;color:var(--soft);font-size:.9rem;padding-bottom:6px}
th,td{text-align:left;vertical-align:top;padding:8px 14px 8px 0;border-bottom:1px solid var(--line)}
tbody th{font-weight:400}
thead th{font-size:.85rem;color:var(--soft);font-weight:600}
.figure{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.stack tbody th,.stack td{overflow-wrap:anywhere}
.text{unicode-bidi:isolate;white-space:pre-wrap;overflow-wrap:anywhere}
del,ins{text-decoration:none;border-radius:3px;padding:0 2px}
del{background:var(--del);text-decoration:line-through;text-decoration-thickness:1px}
ins{background:var(--ins);border-bottom:2px solid var(--amber)}
.plain{margin:0;padding-left:1.3em}
.lines{padding-left:1.2em;columns:2 420px;column-gap:40px}
.lines li{break-inside:avoid;margin-bottom:6px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:22px}
.players{list-style:none;padding:0;margin:0 0 8px}
.players li{display:grid;grid-template-columns:minmax(0,11em) minmax(0,1fr);align-items:center;gap:2px 12px;
margin:6px 0;font-size:.9rem;color:var(--soft)}
.players span{overflow-wrap:anywhere}
audio{width:100%;height:36px}
.walk{list-style:none;margin:0;padding:14px 18px;background:var(--card);border:1px solid var(--line);
border-radius:10px}
.walk li{padding:5px 0 5px 18px;border-left:2px solid var(--blue);position:relative;margin-left:4px}
.walk li::before{content:"";position:absolute;left:-5px;top:14px;width:8px;height:8px;border-radius:50%;
background:var(--blue)}
.walk b{color:var(--soft);font-size:.85rem;font-weight:600}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;
white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 12px}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em;overflow-wrap:anywhere}
details{margin-top:18px}
summary{cursor:pointer;padding:8px 0;color:var(--blue)}
.notice{border-left:4px solid var(--amber);padding:2px 0 2px 14px}
footer{padding:10px 20px 50px;font-size:.88rem}
a:focus-visible,summary:focus-visible,.wide:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
@media (max-width:620px){
main,header,footer,nav{padding-left:14px;padding-right:14px}
header{padding-top:22px}
#verdict{padding:16px 16px 8px}
#verdict h2{font-size:1.25rem}
.tiles{grid-template-columns:1fr 1fr}
figure{padding:12px 10px 4px}
.stack,.stack tbody,.stack tr,.stack th,.stack td,.stack caption{display:block}
.players li{grid-template-columns:minmax(0,1fr)}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack tr{border-bottom:1px solid var(--line);padding:10px 0}
.stack th,.stack td{border:0;padding:2px 0;text-align:left;white-space:normal}
.stack td::before{content:attr(data-head);display:block;font-size:.8rem;color:var(--soft);font-weight:600}
}
@media print{body{font-size:12px}figure,.walk,tr{break-inside:avoid}nav{display:none}}
"""
)


@dataclass(frozen=True)
class Content:
    """What a page says of a run.

    Attributes:
        kind: of run, in words.
        sections: in order, the verdict first; those with an id and a title are linked to.
        notices: what the reader must know before reading on.
        units: of what is measured.
    """

    kind: str
    sections: Sequence[Html]
    notices: Sequence[str]
    units: str


def page(title: str, facts: Sequence[object], notices: Sequence[str], content: Content) -> str:
    """The whole document.

    Args:
        title: name of the run.
        facts: lines under the title.
        notices: all of them.
        content: the rest.
    """
    head = join([
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{safe(_POLICY)}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        element("title", f"{title} · seqvae report"),
        Html(f"<style>{_STYLE}</style>"),
    ])  # fmt: skip
    top = element("header", element("h1", title), *(element("p", fact) for fact in facts))
    verdict, *rest = content.sections
    main = element(
        "main",
        *(element("p", words, class_="notice", role="note") for words in notices),
        verdict,
        _links(rest),
        *rest,
    )
    foot = element(
        "footer",
        f"{content.units} Written by seqvae report; nothing in this page is loaded from elsewhere.",
    )
    return f'<!DOCTYPE html>\n<html lang="en">{element("head", head)}{element("body", top, main, foot)}</html>\n'


def _links(sections: Sequence[Html]) -> Html:
    items = []
    for part in sections:
        # As `html.section` begins each.
        name = part.split('id="', 1)[1].split('"', 1)[0]
        title = Html(part.split("</h2>", 1)[0].rsplit(">", 1)[1])
        items.append(element("li", element("a", title, href=f"#{name}")))
    return element("nav", element("ul", *items), aria_label="Sections", style="padding:0")
