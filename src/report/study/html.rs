//! A study as a page.

use super::panel::Panel;
use super::{Case, NONE, Study};
use crate::error::Result;

/// Looks of the page; pictures take their text colour and font from it.
const STYLE: &str = "\
:root{color-scheme:light dark;--page:#fff;--ink:#1a1a1a;--faint:#595959;--rule:#d0d0d0;\
--mark:#e2e2e2}
@media (prefers-color-scheme:dark){:root{--page:#16181b;--ink:#e8e8e8;--faint:#a8a8a8;\
--rule:#3d4044;--mark:#35393e}}
body{max-width:70rem;margin:2rem auto;padding:0 1rem;background:var(--page);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
p,figcaption,caption{max-width:46rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;font-size:.9rem}
dt{color:var(--faint)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
.table{overflow-x:auto;margin:2rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;padding-top:.6rem}
caption,figcaption{color:var(--faint);font-size:.9rem;text-align:left}
th,td{padding:.25rem .9rem;text-align:right;white-space:nowrap;font-weight:inherit}
tr>:first-child{text-align:left;border-right:1px solid var(--rule)}
thead th{border-top:2px solid var(--ink);border-bottom:1px solid var(--ink)}
tbody tr:last-child>*{border-bottom:2px solid var(--ink)}
tr.default>*{background:var(--mark)}
small{color:var(--faint)}
figure{margin:2rem 0}
figcaption{margin-top:.6rem}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}
.panels>*{max-width:30rem}
svg{display:block;width:100%;height:auto}
svg text{fill:currentColor;font-family:inherit;font-variant-numeric:tabular-nums}
.line text{paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round}
@media print{body{max-width:none}tr.default>*{print-color-adjust:exact}}
";

impl Study {
    /// A page without script and without other files: the facts, a table in the shape of the MAE
    /// paper's Table 1, and a picture of each measure: over the axis if every case has a place on
    /// it, else as rows of dots.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when a value is no share, a place not finite, or a place on a logarithmic
    /// axis not positive.
    pub fn to_html(&self) -> Result<String> {
        self.check()?;
        let title = escape(&self.title);
        let paper = self.paper.as_deref().map(escape);
        let paper = paper.map(|text| format!("<p>In the paper: {text}</p>\n"));
        let facts: String = self.notes.iter().map(fact).collect();
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{}<dl>\n{facts}</dl>\n{}{}</main>\n</body>\n\
             </html>\n",
            paper.unwrap_or_default(),
            self.table(),
            self.figure()?,
        ))
    }

    fn table(&self) -> String {
        let heads: String = std::iter::once(&self.axis)
            .chain(&self.measures)
            .map(|head| format!("<th scope=\"col\">{}</th>", escape(head)))
            .collect();
        let rows: String = self.cases.iter().map(|case| self.row(case)).collect();
        format!(
            "<div class=\"table\" role=\"region\" aria-label=\"Results\" tabindex=\"0\">\n<table>\n\
             <caption>{}</caption>\n<thead><tr>{heads}<th scope=\"col\">minutes</th></tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table>\n</div>\n",
            self.table_caption(),
        )
    }

    fn row(&self, case: &Case) -> String {
        let cells: String = self.measures.iter().map(|measure| self.cell(case, measure)).collect();
        format!(
            "<tr{}><th scope=\"row\">{}</th>{cells}<td>{:.1}</td></tr>\n",
            if case.is_default { " class=\"default\"" } else { "" },
            escape(&case.label),
            case.seconds / 60.0,
        )
    }

    fn cell(&self, case: &Case, measure: &str) -> String {
        let Some(summary) = case.summary(measure) else {
            return format!("<td>{NONE}</td>");
        };
        let best = self.summaries(measure).map(|summary| summary.mean).fold(f64::MIN, f64::max);
        let mut mean = per_cent(summary.mean);
        // As shown: whoever reads 84.9 twice sees two best ones.
        if mean == per_cent(best) {
            mean = format!("<b>{mean}</b>");
        }
        match summary.deviation() {
            Some(deviation) => {
                format!("<td>{mean} <small>± {}</small></td>", per_cent(deviation))
            }
            None => format!("<td>{mean}</td>"),
        }
    }

    fn table_caption(&self) -> String {
        let seeds = || {
            let measures = self.measures.iter();
            measures.flat_map(|measure| self.summaries(measure)).map(|s| s.values.len())
        };
        let mut caption = match (seeds().min().unwrap_or(1), seeds().max().unwrap_or(1)) {
            (_, 1) => "Per cent, of a single seed each.".to_owned(),
            (least, most) => {
                let range =
                    if least < most { format!("{least} to {most}") } else { most.to_string() };
                format!("Per cent: mean ± standard deviation (n − 1) of {range} seeds.")
            }
        };
        caption += " The best of each column is bold";
        caption += if self.has_default() { ", the default setting grey." } else { "." };
        caption
    }

    fn figure(&self) -> Result<String> {
        let panels: Vec<Panel> =
            self.measures.iter().filter_map(|measure| self.panel(measure)).collect();
        if panels.is_empty() {
            return Ok(String::new());
        }
        let mut pictures = String::new();
        for panel in &panels {
            let svg = panel.svg().map_err(|e| self.problem(format!("cannot be drawn: {e}")))?;
            let about = escape(&format!("{} by {}, as in the table", panel.measure, self.axis));
            let class = if panel.is_line { " class=\"line\"" } else { "" };
            pictures += &format!("<div{class} role=\"img\" aria-label=\"{about}\">\n{svg}</div>\n");
        }
        let seeds =
            panels.iter().flat_map(|panel| &panel.places).any(|place| place.values.len() > 1);
        Ok(format!(
            "<figure>\n<div class=\"panels\">\n{pictures}</div>\n<figcaption>Each measure on its \
             own scale, in per cent.{}{}</figcaption>\n</figure>\n",
            if seeds { " Large dots are means, small ones single seeds." } else { "" },
            if self.has_default() { " The default setting is grey." } else { "" },
        ))
    }
}

/// A share in per cent, as the MAE paper prints it.
fn per_cent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn fact((name, value): &(String, String)) -> String {
    format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value))
}

/// Text as HTML, within an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
