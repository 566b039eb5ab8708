"""The page's only style sheet: one column, system fonts, nothing fetched, legible from 320 pixels up and on paper."""

CSS = """
:root { color-scheme: light; --ink:#22303c; --muted:#5d6b75; --rule:#dfe5e8; --paper:#fff; --ground:#f5f7f8;
  --accent:#123a63; --right:#1a7a45; --wrong:#b3261e; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin:0; background:var(--ground); color:var(--ink); line-height:1.55;
  font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif; }
main, header .inner, nav ul, footer { max-width:1080px; margin:0 auto; padding:0 24px; }
header { background:var(--paper); border-bottom:1px solid var(--rule); padding:40px 0 26px; }
header::before { content:""; display:block; height:5px; margin:-40px 0 36px;
  background:linear-gradient(90deg,#123a63 0 34%,#2a9d9a 34% 60%,#e39b2d 60% 82%,#b0406f 82%); }
h1 { font-size:clamp(1.55rem,4.5vw,2.3rem); line-height:1.2; letter-spacing:-.015em; margin:0 0 14px; }
header p { max-width:46em; margin:0; font-size:1.08rem; color:#384651; }
nav { background:var(--paper); border-bottom:1px solid var(--rule); position:sticky; top:0; z-index:9; }
nav ul { display:flex; gap:22px; list-style:none; overflow-x:auto; scrollbar-width:none; }
nav a { display:block; padding:11px 0; color:var(--muted); text-decoration:none; font-size:.92rem;
  white-space:nowrap; }
nav a:hover, nav a:focus { color:var(--accent); text-decoration:underline; text-underline-offset:4px; }
section { background:var(--paper); border:1px solid var(--rule); border-radius:12px; padding:26px 28px 28px;
  margin:26px 0; scroll-margin-top:56px; }
section.bare { background:none; border:0; padding:8px 0 0; }
h2 { margin:0 0 6px; font-size:1.32rem; letter-spacing:-.01em; }
h3 { margin:30px 0 2px; font-size:1.04rem; }
p { margin:0 0 12px; max-width:52em; }
.lead { color:var(--muted); margin-bottom:18px; }
.note, figcaption, caption { color:var(--muted); font-size:.875rem; }
figure { margin:0; } figure img { display:block; width:100%; height:auto; }
figcaption { margin-top:8px; max-width:50em; }
a:focus-visible, .scroll:focus-visible, summary:focus-visible { outline:2px solid #2a9d9a; outline-offset:2px; }

.cards { display:grid; grid-template-columns:repeat(6,minmax(0,1fr)); gap:16px; }
.card { grid-column:span 2; } .card:nth-child(-n+2) { grid-column:span 3; }
.card { background:var(--paper); border:1px solid var(--rule); border-radius:12px; padding:18px 20px 16px;
  display:flex; flex-direction:column; }
.card h3 { margin:0; font-size:.95rem; } .card .what { color:var(--muted); font-size:.84rem; line-height:1.42;
  margin:3px 0 10px; }
.card .value { font-size:2.15rem; font-weight:650; line-height:1.1; color:var(--accent); letter-spacing:-.02em; }
.card .interval { color:var(--muted); font-size:.84rem; } .card svg { display:block; width:100%; height:26px;
  margin:9px 0 7px; }
.card dl { margin:0; font-size:.84rem; display:grid; grid-template-columns:1fr auto; gap:1px 10px; }
.card dt { color:var(--muted); overflow-wrap:anywhere; } .card dd { margin:0; text-align:right;
  font-variant-numeric:tabular-nums; }

.scroll { overflow-x:auto; margin:16px 0 6px; }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
caption { text-align:left; padding-bottom:6px; caption-side:top; }
th, td { padding:7px 12px; text-align:right; border-bottom:1px solid var(--rule); vertical-align:top;
  white-space:nowrap; }
th:first-child { text-align:left; padding-left:0; position:sticky; left:0; background:var(--paper);
  white-space:normal; min-width:10em; }
thead th { white-space:normal; min-width:5.2em; color:var(--muted); font-weight:600; font-size:.82rem;
  border-bottom-color:#c3ced4; vertical-align:bottom; }
tbody th { font-weight:600; } th small, td small { display:block; font-weight:400; color:var(--muted);
  font-size:.78rem; }
tr.aside th, tr.aside td { color:var(--muted); font-weight:400; background:#fafbfc; }
tr.main td, tr.main th { color:var(--accent); }
table.settings td { text-align:left; white-space:normal; overflow-wrap:anywhere;
  font-family:ui-monospace,Menlo,Consolas,monospace; font-size:.84rem; }
details { margin-top:14px; } summary { cursor:pointer; color:var(--accent); font-size:.92rem; padding:4px 0; }

.panels { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr)); gap:22px; }
.wide { max-width:620px; margin:14px auto 0; } .wider { max-width:720px; margin:0 auto; }
.example { display:grid; grid-template-columns:minmax(0,1.1fr) minmax(0,1fr); gap:28px; align-items:start; }
.example svg { width:100%; height:auto; display:block; border-radius:6px; }
.tree, .tree ul { list-style:none; margin:0; padding:0; } .tree ul { margin-left:13px; padding-left:15px;
  border-left:1px solid var(--rule); }
.tree li { margin:5px 0; font-size:.92rem; } .tree .leaf { display:flex; align-items:center; gap:10px; }
.tree img { width:38px; height:38px; object-fit:contain; background:#eef1f3; border-radius:4px; }

.level { display:inline-flex; align-items:center; gap:6px; color:var(--muted); font-size:.82rem; white-space:nowrap; }
.level::before { content:""; flex:none; width:10px; height:10px; border-radius:3px; background:var(--level); }
.row { display:grid; grid-template:"head head" auto "query hits" auto / 124px minmax(0,1fr); gap:9px 20px;
  padding:13px 0 16px;
  border-top:1px solid var(--rule); }
.row.asked { grid-template:"head" auto "hits" auto / minmax(0,1fr); }
.gallery .note { margin-bottom:10px; }
.ask { grid-area:head; display:flex; flex-wrap:wrap; gap:2px 14px; align-items:baseline; overflow-wrap:anywhere; }
.query { grid-area:query; width:100%; aspect-ratio:1; object-fit:contain; background:#e6eaed; border-radius:8px; }
.tally { color:var(--muted); font-size:.8rem; }
.hits { grid-area:hits; list-style:none; margin:0; padding:0; display:grid;
  grid-template-columns:repeat(8,minmax(0,1fr)); gap:12px; align-items:start; }
.hit { font-size:.8rem; line-height:1.3; min-width:0; }
.picture { position:relative; border-radius:7px; background:#eef1f3; margin-bottom:5px; }
.picture img { display:block; width:100%; aspect-ratio:1; object-fit:contain; border-radius:7px; }
.right .picture { outline:2px solid var(--right); outline-offset:1px; }
.wrong .picture { outline:2px dashed #d79a96; outline-offset:1px; }
.mark { position:absolute; right:-5px; bottom:-5px; width:20px; height:20px; border-radius:50%; color:#fff;
  font-size:12px;
  font-weight:700; line-height:20px; text-align:center; box-shadow:0 0 0 2px #fff; }
.right .mark { background:var(--right); } .wrong .mark { background:var(--wrong); }
.hit span { display:block; } .hit .name { overflow:hidden; text-overflow:ellipsis; white-space:nowrap; }
.hit .score { color:var(--muted); font-variant-numeric:tabular-nums; }
.hit .own { display:inline-block; white-space:nowrap; background:#e6edf5; color:var(--accent); border-radius:4px;
  padding:0 5px; font-size:.72rem; margin-top:2px; }
.key { display:flex; flex-wrap:wrap; gap:6px 20px; font-size:.86rem; color:var(--muted); margin:0 0 4px; }
.key .mark { position:static; display:inline-block; margin-right:7px; box-shadow:none; }
.reading dt { font-weight:600; margin-top:14px; } .reading dd { margin:2px 0 0; max-width:54em; }
ul.plain { margin:8px 0 0; padding-left:20px; max-width:54em; } ul.plain li { margin:7px 0; }
footer { color:var(--muted); font-size:.85rem; padding-top:6px; padding-bottom:44px; }

@media (max-width:760px) {
  main, header .inner, nav ul, footer { padding-left:16px; padding-right:16px; }
  section { padding:20px 16px 22px; border-radius:10px; margin:18px 0; }
  .cards { grid-template-columns:1fr; gap:12px; } .card, .card:nth-child(-n+2) { grid-column:auto; }
  .example { grid-template-columns:1fr; }
  .row { grid-template:"query head" auto "hits hits" auto / 84px minmax(0,1fr); gap:13px 14px; }
  .row.asked { grid-template:"head" auto "hits" auto / minmax(0,1fr); }
  .ask { flex-direction:column; align-self:center; align-items:flex-start; }
  .hits { grid-template-columns:repeat(4,minmax(0,1fr)); gap:14px 11px; }
  .hit .own { padding:0 3px; font-size:.68rem; letter-spacing:-.01em; }
  th, td { padding:6px 9px; }
}
@media print { nav { display:none; } section, .card, .row { break-inside:avoid; border-color:#ccc; } body {
  background:#fff; } }
""".strip()
