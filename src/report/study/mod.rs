//! Reports of ablation studies: one setting varied, everything else kept.

mod csv;
mod draw;
mod html;
mod panel;
mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use summary::Summary;

use crate::error::{Error, Result};

/// Stands where nothing was measured.
const NONE: &str = "–";

/// One line of a study: a setting and what was measured for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The setting, e.g. `75 %`.
    pub label: String,
    /// Its place on the study's axis, if it is a number.
    pub x: Option<f64>,
    /// Whether it is what is used where another setting is varied.
    pub is_default: bool,
    /// For each measure its value by seed, as shares in [0, 1], the larger the better. A measure may
    /// be missing, or lack seeds that others have, in a study that was interrupted.
    pub measures: BTreeMap<String, BTreeMap<u64, f64>>,
    /// Time that all seeds together took.
    pub seconds: f64,
}

impl Case {
    /// What is known of a measure, if it has a value.
    fn summary(&self, measure: &str) -> Option<Summary> {
        Summary::of(self.measures.get(measure)?.values().copied().collect())
    }
}

/// An ablation study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The heading.
    pub title: String,
    /// What is varied, e.g. `mask ratio`.
    pub axis: String,
    /// What the paper found, in one or two sentences, if it asked the same.
    pub paper: Option<String>,
    /// Facts, each with its name: data, model, adapter, command, seeds.
    pub notes: Vec<(String, String)>,
    /// The measures' names, in the order of their columns.
    pub measures: Vec<String>,
    /// The settings, in the order of their rows.
    pub cases: Vec<Case>,
    /// Whether settings are drawn at the logarithm of their place on the axis.
    pub log_axis: bool,
}

impl Study {
    fn problem(&self, problem: String) -> Error {
        Error::argument(format!("study {:?}", self.title), problem)
    }

    fn check(&self) -> Result<()> {
        for case in &self.cases {
            let lowest = if self.log_axis { f64::MIN_POSITIVE } else { f64::MIN };
            if let Some(x) = case.x.filter(|x| !(lowest..=f64::MAX).contains(x)) {
                let axis = if self.log_axis { "a logarithmic axis" } else { "the axis" };
                return Err(self.problem(format!("{:?} is at {x}, not on {axis}", case.label)));
            }
            for (measure, values) in &case.measures {
                if let Some(value) = values.values().find(|value| !(0.0..=1.0).contains(*value)) {
                    let problem =
                        format!("{measure:?} of {:?} is {value}, not in [0, 1]", case.label);
                    return Err(self.problem(problem));
                }
            }
        }
        Ok(())
    }

    fn summaries(&self, measure: &str) -> impl Iterator<Item = Summary> {
        self.cases.iter().filter_map(move |case| case.summary(measure))
    }

    fn has_default(&self) -> bool {
        self.cases.iter().any(|case| case.is_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(label: &str, x: Option<f64>, tuned: &[f64], linear: &[f64]) -> Case {
        let measures = [("fine-tuning", tuned), ("linear", linear)]
            .map(|(name, values)| (name.to_owned(), (3..).zip(values.iter().copied()).collect()));
        let is_default = label == "75 %";
        Case { label: label.into(), x, is_default, measures: measures.into(), seconds: 90.0 }
    }

    fn study(cases: Vec<Case>) -> Study {
        Study {
            title: "Mask ratio".into(),
            axis: "mask ratio".into(),
            paper: Some("A ratio of 75 % works best.".into()),
            notes: vec![("data".into(), "1000 pictures".into())],
            measures: vec!["fine-tuning".into(), "linear".into()],
            cases,
            log_axis: false,
        }
    }

    fn ratios() -> Study {
        study(vec![
            case("50 %", Some(0.5), &[0.8, 0.82], &[0.5, 0.56]),
            case("75 %", Some(0.75), &[0.841, 0.859], &[0.7, 0.7]),
            case("90 %", Some(0.9), &[0.85], &[]),
        ])
    }

    /// The cells of the table's rows.
    fn rows(html: &str) -> Vec<&str> {
        html.lines().filter(|line| line.starts_with("<tr")).collect()
    }

    #[test]
    fn the_table_has_means_spreads_and_the_best_in_bold() {
        let html = ratios().to_html().unwrap();
        let expected = [
            "<tr><th scope=\"row\">50 %</th><td>81.0 <small>± 1.4</small></td>\
             <td>53.0 <small>± 4.2</small></td><td>1.5</td></tr>",
            "<tr class=\"default\"><th scope=\"row\">75 %</th>\
             <td><b>85.0</b> <small>± 1.3</small></td>\
             <td><b>70.0</b> <small>± 0.0</small></td><td>1.5</td></tr>",
            "<tr><th scope=\"row\">90 %</th><td><b>85.0</b></td><td>–</td><td>1.5</td></tr>",
        ];
        assert_eq!(rows(&html), expected);
        assert!(html.contains("standard deviation (n − 1) of 1 to 2 seeds."));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let deviation = |values: &[f64]| Summary::of(values.to_vec()).and_then(|s| s.deviation());
        assert!((deviation(&[1.0, 2.0, 4.0]).unwrap() - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!([deviation(&[0.5]), deviation(&[])], [None, None]);
    }

    #[test]
    fn text_is_escaped_everywhere() {
        let bad = "<i a='b' c=\"d\">&";
        let mut study = study(vec![case(bad, None, &[0.5], &[]), case("b", None, &[0.6], &[])]);
        study.cases[0].measures.insert(bad.into(), [(0, 0.5)].into());
        study.measures.push(bad.into());
        study.notes.push((bad.into(), bad.into()));
        let paper = study.paper.as_mut().unwrap();
        for text in [&mut study.title, &mut study.axis, paper] {
            *text = bad.into();
        }
        let html = study.to_html().unwrap();
        assert!(!html.contains("<i") && !html.contains("c=\"d"));
        // Title twice, axis in the table and of two pictures, paper, fact, label, measure, …
        let escaped = "&lt;i a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;";
        assert!(html.matches(escaped).count() >= 10, "{}", html.matches(escaped).count());
    }

    #[test]
    fn each_measure_has_a_picture_of_dots_and_means() {
        let html = ratios().to_html().unwrap();
        assert_eq!(html.matches("<svg").count(), 2);
        // Three means and two pairs of seeds; two means and two pairs.
        assert_eq!(html.matches("r=\"5\"").count(), 3 + 2);
        assert_eq!(html.matches("r=\"3\"").count(), 4 + 4);
        assert_eq!(html.matches("<polyline").count(), 2);
        // Without a place for each case, rows instead of lines.
        let mut study = ratios();
        study.cases[0].x = None;
        let html = study.to_html().unwrap();
        assert_eq!((html.matches("<svg").count(), html.matches("<polyline").count()), (2, 0));
        assert!(html.contains("\n75 %\n"));
        // The row that misses the measure.
        assert_eq!(html.matches("\n–\n").count(), 1);
    }

    #[test]
    fn places_are_spread_by_value_or_logarithm() {
        let mut study = study([1.0, 10.0, 100.0].map(|x| case("", Some(x), &[0.5], &[])).into());
        study.cases.reverse();
        let middle = |study: &Study| {
            let panel = study.panel("fine-tuning").unwrap();
            let frame = panel.frame().unwrap();
            let x = |i: usize| f64::from(frame.of_place(panel.places[i].at));
            (x(1) - x(0)) / (x(2) - x(0))
        };
        assert!((middle(&study) - 1.0 / 11.0).abs() < 0.01);
        study.log_axis = true;
        assert!((middle(&study) - 0.5).abs() < 0.01);
    }

    #[test]
    fn the_default_is_numbered_where_there_is_not_room_for_all() {
        let many = (1..=60).map(|x| {
            let label = if x == 37 { "75 %" } else { "" };
            case(label, Some(f64::from(x)), &[0.5 + f64::from(x) / 1000.0], &[])
        });
        let html = study(many.collect()).to_html().unwrap();
        let is_numbered = |x: u32| html.contains(&format!("\n{x}\n"));
        let is_labelled = |x: u32| html.contains(&format!("\n{:.1}\n", 50.0 + f64::from(x) / 10.0));
        assert!(is_numbered(37) && !is_numbered(36) && !is_numbered(38));
        assert!(is_labelled(37) && !is_labelled(36) && !is_labelled(38));
        assert!((5..40).contains(&(1..=60).filter(|x| is_numbered(*x)).count()));
    }

    #[test]
    fn an_interrupted_study_is_reported() {
        let html = study(vec![case("75 %", Some(0.75), &[], &[])]).to_html().unwrap();
        assert!(rows(&html)[0].contains("<td>–</td><td>–</td>"));
        assert!(!html.contains("<figure"));
        assert!(study(vec![]).to_html().unwrap().contains("In the paper: A ratio"));
        let own = Study { paper: None, ..study(vec![]) };
        assert!(!own.to_html().unwrap().contains("In the paper"));
    }

    #[test]
    fn values_that_are_no_shares_are_refused() {
        let error = |study: &Study| study.to_html().unwrap_err().to_string();
        for (value, shown) in [(f64::NAN, "NaN"), (84.9, "84.9"), (-0.5, "-0.5")] {
            let error = error(&study(vec![case("a", None, &[value], &[])]));
            assert!(error.contains(&format!("of \"a\" is {shown}, not in [0, 1]")), "{error}");
        }
        let mut study = study(vec![case("a", Some(0.0), &[0.5], &[])]);
        assert!(study.to_html().is_ok());
        study.log_axis = true;
        assert!(error(&study).contains("at 0, not on a logarithmic axis"), "{}", error(&study));
    }

    #[test]
    fn csv_has_a_row_for_each_value() {
        let mut study = ratios();
        study.cases.remove(0);
        study.cases[1].label = "90 %, \"late\"".into();
        study.cases[1].x = None;
        let csv = String::from_utf8(study.to_csv().unwrap()).unwrap();
        let expected = "label,x,seed,measure,value\n\
            75 %,0.75,3,fine-tuning,0.841\n75 %,0.75,4,fine-tuning,0.859\n\
            75 %,0.75,3,linear,0.7\n75 %,0.75,4,linear,0.7\n\
            \"90 %, \"\"late\"\"\",,3,fine-tuning,0.85\n";
        assert_eq!(csv, expected);
    }
}
