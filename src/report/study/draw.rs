//! How the picture of a measure is drawn.

use std::error::Error as StdError;
use std::ops::Range;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use super::NONE;
use super::panel::{
    CasePoint, Frame, GAP, HEADING, LONGEST_LABEL, NAME, NUMBERS, Panel, ROW, TEXT, WIDTH,
};
use crate::report::text;

/// Radius of a mean's dot, of a single seed's, and of the grey one behind the default's mean.
const LARGE: u32 = 5;
const SMALL: u32 = 3;
const HALO: u32 = 10;
/// Both stand out on white and on black.
const BLUE: RGBColor = RGBColor(58, 130, 196);
const GREY: RGBColor = RGBColor(128, 128, 128);

impl Panel<'_> {
    pub fn svg(&self) -> Result<String, Box<dyn StdError>> {
        let frame = self.frame()?;
        let mut svg = String::new();
        let mut ink = Ink(SVGBackend::with_string(&mut svg, (WIDTH as u32, frame.height as u32)));
        ink.text(&format!("{} (%)", self.measure), (GAP, HEADING / 3), HPos::Left)?;
        if self.is_line {
            self.draw_line(&frame, &mut ink)?;
        } else {
            self.draw_rows(&frame, &mut ink)?;
        }
        ink.0.present()?;
        drop(ink);
        Ok(svg)
    }

    fn draw_line(&self, frame: &Frame, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let Frame { left, right, bottom, .. } = *frame;
        for (tick, number) in self.ticks(frame) {
            let y = frame.of_value(tick);
            ink.line((left, y), (right, y), 0.3)?;
            ink.text(&number, (left - GAP, y), HPos::Right)?;
        }
        ink.line((left, bottom), (right, bottom), 1.0)?;
        let name = ((left + right) / 2, bottom + NUMBERS + NAME / 2);
        ink.text(&self.axis, name, HPos::Center)?;
        let known = |place: &CasePoint| Some((place.at, place.mean()?));
        let means: Vec<(f64, f64)> = self.places.iter().filter_map(known).collect();
        let line = means.iter().map(|&(at, mean)| frame.pixel(at, mean));
        ink.0.draw_path(line, &BLUE.stroke_width(2))?;
        let (mut axis_room, mut means_room) = (Room::default(), Room::default());
        // The default comes first where there is not room for all numbers.
        let (defaults, others): (Vec<_>, Vec<_>) =
            self.places.iter().partition(|place| place.is_default);
        for place in defaults.into_iter().chain(others) {
            let x = frame.of_place(place.at);
            ink.line((x, bottom), (x, bottom + GAP / 2), 1.0)?;
            if axis_room.take(x, text::width(&place.label, TEXT)?) {
                ink.text(&place.label, (x, bottom + NUMBERS / 2), HPos::Center)?;
            }
            let Some(mean) = place.mean() else { continue };
            if place.is_default {
                ink.0.draw_circle(frame.pixel(place.at, mean), HALO, &GREY.mix(0.4), true)?;
            }
            ink.dots(frame, place, mean)?;
            let number = format!("{mean:.1}");
            if means_room.take(x, text::width(&number, TEXT)?) {
                // In a valley of the line there is room below.
                let beside = |other: Option<&(f64, f64)>| other.is_none_or(|(_, m)| *m > mean);
                let before = means.iter().rev().find(|(at, _)| *at < place.at);
                let after = means.iter().find(|(at, _)| *at > place.at);
                let is_valley = means.len() > 1 && beside(before) && beside(after);
                let (end, side) =
                    if is_valley { (place.lowest(), 1) } else { (place.highest(), -1) };
                let y = frame.of_value(end);
                ink.text(&number, (x, y + side * 2 * GAP), HPos::Center)?;
            }
        }
        Ok(())
    }

    fn draw_rows(&self, frame: &Frame, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let Frame { left, top, bottom, .. } = *frame;
        let rows = || self.places.iter().map(|place| (frame.of_place(place.at), place));
        for (y, _) in rows().filter(|(_, place)| place.is_default) {
            let corners = ((0, y - ROW / 2), (WIDTH, y + ROW / 2));
            ink.0.draw_rect(corners.0, corners.1, &GREY.mix(0.25), true)?;
        }
        for (tick, number) in self.ticks(frame) {
            let x = frame.of_value(tick);
            ink.line((x, top), (x, bottom), 0.3)?;
            ink.text(&number, (x, bottom + NUMBERS / 2), HPos::Center)?;
        }
        ink.line((left, top), (left, bottom), 1.0)?;
        for (y, place) in rows() {
            let label = text::shortened(&place.label, TEXT, LONGEST_LABEL)?;
            ink.text(&label, (left - GAP, y), HPos::Right)?;
            let mut number = NONE.to_owned();
            if let Some(mean) = place.mean() {
                ink.dots(frame, place, mean)?;
                number = format!("{mean:.1}");
            }
            ink.text(&number, (WIDTH - GAP, y), HPos::Right)?;
        }
        Ok(())
    }
}

/// The stretches of a line that are written on.
#[derive(Default)]
struct Room(Vec<Range<i32>>);

impl Room {
    /// Takes a stretch around `centre`, if it is free.
    fn take(&mut self, centre: i32, width: i32) -> bool {
        let half = (width + GAP / 2) / 2;
        let stretch = centre - half..centre + half;
        let is_free = self.0.iter().all(|t| t.end <= stretch.start || stretch.end <= t.start);
        if is_free {
            self.0.push(stretch);
        }
        is_free
    }
}

/// A picture, and how it is drawn on.
struct Ink<'a>(SVGBackend<'a>);

impl Ink<'_> {
    fn text(&mut self, text: &str, at: (i32, i32), anchor: HPos) -> Result<(), Box<dyn StdError>> {
        Ok(self.0.draw_text(text, &text::style(TEXT, anchor), at)?)
    }

    /// The mean, and each seed if there are several.
    fn dots(
        &mut self,
        frame: &Frame,
        place: &CasePoint,
        mean: f64,
    ) -> Result<(), Box<dyn StdError>> {
        for &value in place.values.iter().filter(|_| place.values.len() > 1) {
            self.0.draw_circle(frame.pixel(place.at, value), SMALL, &BLUE.mix(0.5), true)?;
        }
        Ok(self.0.draw_circle(frame.pixel(place.at, mean), LARGE, &BLUE, true)?)
    }

    fn line(
        &mut self,
        from: (i32, i32),
        to: (i32, i32),
        opacity: f64,
    ) -> Result<(), Box<dyn StdError>> {
        Ok(self.0.draw_line(from, to, &GREY.mix(opacity))?)
    }
}
