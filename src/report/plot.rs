//! Loss curves.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::metrics::Record;
use super::{Picture, font};
use crate::error::{Error, Result};

const SIZE: (u32, u32) = (1200, 700);
/// Width of the smoothed curve's window as a share of the records, and its limit to either side.
const SMOOTHING: f64 = 0.02;
const MAX_REACH: usize = 100;

const PALE: RGBColor = RGBColor(166, 200, 232);
const BLUE: RGBColor = RGBColor(20, 90, 170);
const ORANGE: RGBColor = RGBColor(220, 100, 20);
const GREEN: RGBColor = RGBColor(90, 150, 90);
/// Height of the losses' panel where accuracies have one below it.
const LOSS_PANEL: u32 = 460;

/// A curve: `(step, value)`.
type Curve = Vec<(f64, f64)>;

/// Draws training loss, its smoothed course, held-out loss and (on the right axis) the learning
/// rate over optimiser steps, and the held-out accuracy below, if there is one. Rare outliers of the training loss may lie above the picture.
///
/// # Errors
/// [`Error::Argument`] when the records hold no loss.
pub fn loss_curves(title: &str, records: &[Record]) -> Result<Picture> {
    let curve = |value: fn(&Record) -> Option<f64>| -> Curve {
        let point = |r: &Record| Some((r.step as f64, value(r).filter(|v| v.is_finite())?));
        records.iter().filter_map(point).collect()
    };
    let curves = Curves {
        train: curve(|r| r.loss),
        held_out: curve(|r| r.held_out_loss),
        learning_rate: curve(|r| r.learning_rate),
        accuracy: curve(|r| r.accuracy),
    };
    if curves.train.is_empty() && curves.held_out.is_empty() {
        let problem = "the records hold no finite loss; train for a few steps first";
        return Err(Error::argument("loss curve", problem));
    }
    let mut rgb = vec![0; 3 * (SIZE.0 * SIZE.1) as usize];
    curves
        .draw(title, &mut rgb)
        .map_err(|e| Error::argument("loss curve", format!("cannot be drawn: {e}")))?;
    Picture::new(SIZE.0, SIZE.1, rgb)
}

struct Curves {
    train: Curve,
    held_out: Curve,
    learning_rate: Curve,
    accuracy: Curve,
}

/// A part of the picture.
type Panel<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

impl Curves {
    fn draw<'a>(
        &self,
        title: &str,
        rgb: &'a mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + 'a>> {
        let canvas = BitMapBackend::with_buffer(rgb, SIZE).into_drawing_area();
        canvas.fill(&WHITE)?;
        if self.accuracy.is_empty() {
            self.draw_losses(title, &canvas)?;
        } else {
            let (above, below) = canvas.split_vertically(LOSS_PANEL);
            self.draw_losses(title, &above)?;
            self.draw_accuracy(&below)?;
        }
        canvas.present()?;
        Ok(())
    }

    fn draw_losses<'a>(
        &self,
        title: &str,
        panel: &Panel<'a>,
    ) -> Result<(), Box<dyn std::error::Error + 'a>> {
        let smoothed = smooth(&self.train);
        let (steps, losses) = (self.steps(), self.losses(&smoothed));
        let fastest = self.learning_rate.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let has_rate = fastest > 0.0;
        let rates = 0.0..if has_rate { fastest * 1.05 } else { 1.0 };
        let text = |size: i32| (font::family(), size).into_text_style(panel);
        let mut chart = ChartBuilder::on(panel)
            .caption(title, text(26))
            .margin(14)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .right_y_label_area_size(if has_rate { 84 } else { 0 })
            .build_cartesian_2d(steps.clone(), losses)?
            .set_secondary_coord(steps, rates);
        chart
            .configure_mesh()
            .x_desc("step")
            .y_desc("loss")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .light_line_style(BLACK.mix(0.04))
            .bold_line_style(BLACK.mix(0.12))
            .label_style(text(17))
            .axis_desc_style(text(19))
            .draw()?;
        if has_rate {
            chart
                .configure_secondary_axes()
                .y_desc("learning rate")
                .y_label_formatter(&|rate| format!("{rate:.1e}"))
                .label_style(text(17))
                .axis_desc_style(text(19))
                .draw()?;
            let line = LineSeries::new(self.learning_rate.clone(), GREEN.stroke_width(1));
            chart.draw_secondary_series(line)?.label("learning rate").legend(key(GREEN));
        }
        for (name, curve, colour, width) in [
            ("training loss", self.train.clone(), PALE, 1),
            ("smoothed", smoothed, BLUE, 2),
            ("held-out loss", self.held_out.clone(), ORANGE, 2),
        ] {
            if !curve.is_empty() {
                let line = LineSeries::new(curve, colour.stroke_width(width));
                chart.draw_series(line)?.label(name).legend(key(colour));
            }
        }
        let dots = self.held_out.iter().map(|point| Circle::new(*point, 3, ORANGE.filled()));
        chart.draw_series(dots)?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(text(18))
            .draw()?;
        Ok(())
    }

    fn draw_accuracy<'a>(&self, panel: &Panel<'a>) -> Result<(), Box<dyn std::error::Error + 'a>> {
        let best = self.accuracy.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        let text = |size: i32| (font::family(), size).into_text_style(panel);
        let has_rate = self.learning_rate.iter().any(|(_, rate)| *rate > 0.0);
        let mut chart = ChartBuilder::on(panel)
            .margin(14)
            .x_label_area_size(48)
            .y_label_area_size(72)
            // As wide as the panel above.
            .margin_right(if has_rate { 14 + 84 } else { 14 })
            .build_cartesian_2d(self.steps(), 0.0..(best * 1.1).clamp(1e-3, 1.0))?;
        chart
            .configure_mesh()
            .x_desc("step")
            .y_desc("held-out accuracy")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|share| format!("{:.0} %", 100.0 * share))
            .y_labels(5)
            .light_line_style(BLACK.mix(0.04))
            .bold_line_style(BLACK.mix(0.12))
            .label_style(text(17))
            .axis_desc_style(text(19))
            .draw()?;
        let line = LineSeries::new(self.accuracy.clone(), ORANGE.stroke_width(2));
        chart.draw_series(line)?;
        let dots = self.accuracy.iter().map(|point| Circle::new(*point, 3, ORANGE.filled()));
        chart.draw_series(dots)?;
        Ok(())
    }

    fn steps(&self) -> std::ops::Range<f64> {
        let steps = || self.train.iter().chain(&self.held_out).map(|(step, _)| *step);
        let first = steps().fold(f64::INFINITY, f64::min);
        first..steps().fold(first + 1.0, f64::max)
    }

    /// Everything but the highest 1 % of the training losses, with a margin.
    fn losses(&self, smoothed: &[(f64, f64)]) -> std::ops::Range<f64> {
        let mut values: Vec<f64> = self.train.iter().map(|(_, loss)| *loss).collect();
        values.sort_by(f64::total_cmp);
        values.truncate((values.len() * 99).div_ceil(100));
        values.extend(self.held_out.iter().chain(smoothed).map(|(_, loss)| *loss));
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(low, f64::max);
        let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
        low - margin..high + margin
    }
}

/// The line that stands for a curve in the key.
fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3))
}

/// The mean of the middle half of each window, centred on its point: no lag, and a single outlier
/// leaves no trace.
fn smooth(curve: &[(f64, f64)]) -> Curve {
    let reach = (SMOOTHING * curve.len() as f64 / 2.0) as usize;
    let reach = reach.min(MAX_REACH);
    let average = |i: usize| {
        let window = &curve[i.saturating_sub(reach)..(i + reach + 1).min(curve.len())];
        let mut values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let middle = &values[values.len() / 4..values.len() - values.len() / 4];
        (curve[i].0, middle.iter().sum::<f64>() / middle.len() as f64)
    };
    (0..curve.len()).map(average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_constant_and_calms_the_rest() {
        let curve: Curve = (0..500).map(|i| (f64::from(i), 3.0)).collect();
        assert!(smooth(&curve).iter().all(|(_, v)| (v - 3.0).abs() < 1e-12));
        let noisy: Curve = (0..500).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        assert!(smooth(&noisy)[10..490].iter().all(|(_, v)| (v - 0.5).abs() < 0.1));
        let mut spike = curve;
        spike[250].1 = 90.0;
        assert!(smooth(&spike).iter().all(|(_, v)| (v - 3.0).abs() < 1e-12));
    }

    #[test]
    fn curves_of_any_length_are_drawn() {
        let record = |step: u64| Record {
            step,
            loss: Some(0.4 + 1.0 / (1.0 + step as f64 / 50.0)),
            held_out_loss: step.is_multiple_of(100).then_some(0.6),
            accuracy: step.is_multiple_of(100).then_some(step as f64 / 1000.0),
            learning_rate: Some(1e-4 * step.min(40) as f64),
            ..Record::default()
        };
        for n in [1, 2, 700] {
            let records: Vec<Record> = (0..n).map(record).collect();
            let picture = loss_curves("pre-training", &records).unwrap();
            assert_eq!(picture.size(), [SIZE.1, SIZE.0]);
        }
        let lost = Record { loss: Some(f64::NAN), ..Record::default() };
        assert!(loss_curves("", &[lost]).unwrap_err().to_string().contains("no finite loss"));
    }
}
