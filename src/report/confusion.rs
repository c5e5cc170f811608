//! Confusion matrices: which classes are taken for which.

use std::error::Error as StdError;
use std::path::Path;

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::HPos;
use plotters::style::{BLACK, FontError, FontTransform, RGBColor, WHITE};

use super::{Picture, text};
use crate::error::{Error, Result};
use crate::files::atomic_write;

/// Up to so many classes, the cells hold their counts.
const MOST_COUNTED: usize = 20;
/// Pixels that the matrix is given at least and at most, and the most for one cell.
const SMALLEST_SIDE: usize = 240;
const LARGEST_SIDE: usize = 1500;
const LARGEST_CELL: usize = 56;
/// Pixels around everything, between neighbours, and for a line of text.
const MARGIN: i32 = 16;
const GAP: i32 = 8;
const LINE: i32 = 24;
/// Width of the colour key, of its numbers, and of the longest class name shown.
const KEY: i32 = 16;
const KEY_NUMBERS: i32 = 40;
const LONGEST_NAME: i32 = 180;
/// Font sizes of the heading, the axes and (at most) the class names and counts.
const HEADING: f64 = 20.0;
const AXIS: f64 = 18.0;
const NAME: f64 = 16.0;

const FRAME: RGBColor = RGBColor(120, 120, 120);
const GRID: RGBColor = RGBColor(226, 226, 226);
const ZERO: RGBColor = RGBColor(165, 165, 165);
/// Rows of classes without pictures.
const NOTHING: RGBColor = RGBColor(238, 238, 238);
/// Colours of the shares 0, ½ and 1: the darker, the more, in colour and in grey.
const RAMP: [RGBColor; 3] = [WHITE, RGBColor(84, 153, 208), RGBColor(8, 40, 100)];

/// How often pictures of each class were taken for each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: Vec<String>,
    /// `[C, C]`: a row for each true class, a column for each predicted one.
    counts: Vec<u64>,
}

impl Confusion {
    /// No pictures yet, of the classes with these names.
    pub fn new(classes: Vec<String>) -> Self {
        let counts = vec![0; classes.len() * classes.len()];
        Self { classes, counts }
    }

    /// Counts a picture of class `truth` that was taken for class `predicted`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        let at = self.index(truth, predicted);
        self.counts[at] += 1;
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of pictures of class `truth` that were taken for class `predicted`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[self.index(truth, predicted)]
    }

    /// The share of all pictures whose class was found, or `None` without pictures.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.found(), self.counts.iter().sum())
    }

    /// For each class, the share of its pictures whose class was found (the recall), or `None` for
    /// a class without pictures.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let recall = |class| share(self.count(class, class), self.pictures_of(class));
        (0..self.classes.len()).map(recall).collect()
    }

    /// Writes the counts as a table: the names of the predicted classes, then a row for each true
    /// class.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic_write(path, |file| {
            let mut writer = csv::Writer::from_writer(file);
            let corner = std::iter::once("true class \\ predicted class");
            writer.write_record(corner.chain(self.classes.iter().map(String::as_str)))?;
            for (truth, class) in self.classes.iter().enumerate() {
                let counts = self.row(truth).iter().map(u64::to_string);
                writer.write_record(std::iter::once(class.clone()).chain(counts))?;
            }
            writer.flush()
        })
    }

    /// Draws the matrix: the darker a cell, the larger the share of the true class (the row) that
    /// was taken for the predicted class (the column). Rows of classes without pictures are grey.
    /// Cells of at most 20 classes hold their counts; of so many classes that their names do not
    /// fit, every second, third, … is named.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no pictures.
    pub fn picture(&self) -> Result<Picture> {
        let accuracy = self.accuracy().ok_or_else(|| {
            Error::argument("confusion matrix", "there are no pictures in it; classify some first")
        })?;
        let heading = format!(
            "accuracy {:.1} % ({} of {} pictures)",
            100.0 * accuracy,
            self.found(),
            self.counts.iter().sum::<u64>(),
        );
        let problem = |e| Error::argument("confusion matrix", format!("cannot be drawn: {e}"));
        let layout = Layout::new(self, &heading).map_err(|e| problem(e.to_string()))?;
        let (width, height) = layout.size;
        let mut rgb = vec![255; 3 * width as usize * height as usize];
        let canvas = BitMapBackend::with_buffer(&mut rgb, layout.size);
        layout.draw(self, &heading, canvas).map_err(|e| problem(e.to_string()))?;
        Picture::new(width, height, rgb)
    }

    fn index(&self, truth: usize, predicted: usize) -> usize {
        let classes = self.classes.len();
        assert!(
            truth < classes && predicted < classes,
            "class {truth} taken for {predicted}, of {classes} classes"
        );
        truth * classes + predicted
    }

    fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes.len()..][..self.classes.len()]
    }

    fn found(&self) -> u64 {
        (0..self.classes.len()).map(|class| self.count(class, class)).sum()
    }

    fn pictures_of(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Where everything is, in pixels.
struct Layout {
    /// Width and height of the picture.
    size: (u32, u32),
    /// The upper left corner of the matrix, its side, and the side of a cell.
    left: i32,
    top: i32,
    side: i32,
    cell: i32,
    /// The classes' names as shown, their font size, and the width of the widest.
    names: Vec<String>,
    name_size: f64,
    names_width: i32,
    /// The first of so many classes is named.
    named: usize,
}

impl Layout {
    fn new(confusion: &Confusion, heading: &str) -> Result<Self, FontError> {
        let classes = confusion.classes.len();
        let largest = LARGEST_CELL.max(SMALLEST_SIDE / classes);
        let cell = (LARGEST_SIDE / classes).clamp(1, largest);
        let name_size = NAME.min((cell as f64).max(12.0));
        let named = (name_size as usize).div_ceil(cell);
        let shown = |name: &String| text::shortened(name, name_size, LONGEST_NAME);
        let names = confusion.classes.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        let mut names_width = 0;
        for name in &names {
            names_width = names_width.max(text::width(name, name_size)?);
        }
        let (side, cell) = ((classes * cell) as i32, cell as i32);
        let (left, top) = (MARGIN + LINE + GAP + names_width + GAP, MARGIN + LINE + GAP);
        let beside = 2 * GAP + KEY + GAP + KEY_NUMBERS + GAP + LINE;
        let width = left + (side + beside).max(text::width(heading, HEADING)?) + MARGIN;
        let mut layout = Self {
            size: (width as u32, 0),
            left,
            top,
            side,
            cell,
            names,
            name_size,
            names_width,
            named,
        };
        let height = top + side + GAP + layout.below() + GAP + LINE + MARGIN;
        layout.size.1 = height as u32;
        Ok(layout)
    }

    /// Names of columns are turned where one is wider than a cell.
    fn turned(&self) -> bool {
        self.named > 1 || self.names_width > self.cell - GAP
    }

    /// Height of the columns' names.
    fn below(&self) -> i32 {
        if self.turned() { self.names_width } else { LINE - GAP }
    }

    fn draw(
        &self,
        confusion: &Confusion,
        heading: &str,
        canvas: BitMapBackend,
    ) -> Result<(), Box<dyn StdError>> {
        let mut ink = Ink { canvas };
        let Self { left, top, side, .. } = *self;
        let (middle_x, middle_y) = (left + side / 2, top + side / 2);
        ink.text(heading, (left, MARGIN + LINE / 2), HPos::Left, HEADING, &BLACK)?;
        let bottom = top + side + GAP + self.below() + GAP + LINE / 2;
        ink.text("predicted class", (middle_x, bottom), HPos::Center, AXIS, &BLACK)?;
        ink.turned_text("true class", (MARGIN + LINE / 2, middle_y), HPos::Center, AXIS)?;
        self.draw_cells(confusion, &mut ink)?;
        for (class, name) in self.names.iter().enumerate().step_by(self.named) {
            let along = class as i32 * self.cell + self.cell / 2;
            let beside = (left - GAP, top + along);
            ink.text(name, beside, HPos::Right, self.name_size, &BLACK)?;
            let below = (left + along, top + side + GAP);
            if self.turned() {
                ink.turned_text(name, below, HPos::Right, self.name_size)?;
            } else {
                let below = (below.0, below.1 + self.below() / 2);
                ink.text(name, below, HPos::Center, self.name_size, &BLACK)?;
            }
        }
        self.draw_key(&mut ink)?;
        ink.canvas.present()?;
        Ok(())
    }

    fn draw_cells(&self, confusion: &Confusion, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let Self { left, top, side, cell, .. } = *self;
        let counted = self.names.len() <= MOST_COUNTED;
        // Lines between the cells, where they leave most of a cell.
        let inner = if cell >= GAP { cell - 1 } else { cell };
        ink.fill((left, top), (side, side), &GRID)?;
        for truth in 0..self.names.len() {
            let pictures = confusion.pictures_of(truth);
            for (predicted, &count) in confusion.row(truth).iter().enumerate() {
                let at = (left + predicted as i32 * cell, top + truth as i32 * cell);
                let colour = share(count, pictures).map_or(NOTHING, ramp);
                ink.fill(at, (inner, inner), &colour)?;
                if counted && pictures > 0 {
                    let (text, room) = (count.to_string(), f64::from(inner - 4));
                    let fit = room / f64::from(text::width(&text, NAME)?.max(1));
                    let centre = (at.0 + cell / 2, at.1 + cell / 2);
                    let colour = if count == 0 { ZERO } else { readable_on(colour) };
                    ink.text(&text, centre, HPos::Center, NAME * fit.min(1.0), &colour)?;
                }
            }
        }
        let corner = (left + side, top + side);
        Ok(ink.canvas.draw_rect((left - 1, top - 1), corner, &FRAME, false)?)
    }

    /// The colours' meaning, to the right of the matrix.
    fn draw_key(&self, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let (x, side) = (self.left + self.side + 2 * GAP, self.side);
        for y in 0..side {
            let colour = ramp(1.0 - f64::from(y) / f64::from(side - 1));
            ink.fill((x, self.top + y), (KEY, 1), &colour)?;
        }
        let corner = (x + KEY, self.top + side);
        ink.canvas.draw_rect((x - 1, self.top - 1), corner, &FRAME, false)?;
        for quarter in 0..=4 {
            let y = self.top + side - side * quarter / 4;
            let text = format!("{} %", 25 * quarter);
            ink.text(&text, (x + KEY + GAP, y), HPos::Left, NAME, &BLACK)?;
        }
        let x = x + KEY + GAP + KEY_NUMBERS + GAP + LINE / 2;
        ink.turned_text("share of the true class", (x, self.top + side / 2), HPos::Center, AXIS)
    }
}

/// A canvas, and how it is written on.
struct Ink<'a> {
    canvas: BitMapBackend<'a>,
}

impl Ink<'_> {
    fn fill(
        &mut self,
        at: (i32, i32),
        (width, height): (i32, i32),
        colour: &RGBColor,
    ) -> Result<(), Box<dyn StdError>> {
        let corner = (at.0 + width, at.1 + height);
        Ok(self.canvas.draw_rect(at, corner, colour, true)?)
    }

    /// Writes text whose middle line is at the height of `at`.
    fn text(
        &mut self,
        text: &str,
        at: (i32, i32),
        anchor: HPos,
        size: f64,
        colour: &RGBColor,
    ) -> Result<(), Box<dyn StdError>> {
        let style = text::style(size, anchor).color(colour);
        Ok(self.canvas.draw_text(text, &style, (at.0, at.1 + sinking(size)))?)
    }

    /// Writes text from the bottom to the top.
    fn turned_text(
        &mut self,
        text: &str,
        at: (i32, i32),
        anchor: HPos,
        size: f64,
    ) -> Result<(), Box<dyn StdError>> {
        let style = text::style(size, anchor).transform(FontTransform::Rotate270);
        Ok(self.canvas.draw_text(text, &style, (at.0 + sinking(size), at.1))?)
    }
}

/// plotters centres the box around text, in which letters stand too high by this.
fn sinking(size: f64) -> i32 {
    (0.2 * size).round() as i32
}

/// The colour of a share in [0, 1].
fn ramp(share: f64) -> RGBColor {
    let [none, half, all] = RAMP;
    let (from, to, along) =
        if share < 0.5 { (none, half, 2.0 * share) } else { (half, all, 2.0 * share - 1.0) };
    let mix = |a: u8, b: u8| (f64::from(a) + along * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Relative luminance in [0, 1], by WCAG 2.2.
fn luminance(RGBColor(red, green, blue): RGBColor) -> f64 {
    let linear = |byte: u8| {
        let value = f64::from(byte) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

/// Black or white, whichever has the higher contrast.
fn readable_on(colour: RGBColor) -> RGBColor {
    if luminance(colour) > 0.18 { BLACK } else { WHITE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(classes: usize) -> Confusion {
        Confusion::new((0..classes).map(|class| format!("class {class}")).collect())
    }

    fn pixel(picture: &Picture, (x, y): (i32, i32)) -> RGBColor {
        let at = 3 * (y as usize * picture.size()[1] as usize + x as usize);
        RGBColor(picture.rgb()[at], picture.rgb()[at + 1], picture.rgb()[at + 2])
    }

    #[test]
    fn accuracy_and_recall_by_hand() {
        let mut confusion = of(3);
        assert_eq!(confusion.accuracy(), None);
        for (truth, predicted) in [(0, 0), (0, 0), (0, 0), (0, 2), (2, 0)] {
            confusion.add(truth, predicted);
        }
        assert_eq!(confusion.accuracy(), Some(0.6));
        assert_eq!(confusion.per_class(), [Some(0.75), None, Some(0.0)]);
        assert_eq!(
            [confusion.count(0, 2), confusion.count(2, 0), confusion.count(2, 2)],
            [1, 1, 0]
        );
    }

    #[test]
    #[should_panic(expected = "class 0 taken for 2, of 2 classes")]
    fn a_class_too_many_is_refused() {
        of(2).add(0, 2);
    }

    #[test]
    fn the_table_has_a_row_for_each_true_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confusion.csv");
        let mut confusion = Confusion::new(vec!["cat, small".into(), "dog".into()]);
        confusion.add(0, 1);
        confusion.add(0, 1);
        confusion.add(1, 1);
        confusion.write_csv(&path).unwrap();
        let expected =
            "true class \\ predicted class,\"cat, small\",dog\n\"cat, small\",0,2\ndog,0,1\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn shares_become_colours() {
        let mut confusion = of(30);
        confusion.add(1, 1);
        confusion.add(1, 2);
        confusion.add(3, 4);
        let layout = Layout::new(&confusion, "").unwrap();
        let picture = confusion.picture().unwrap();
        let cell = |truth: i32, predicted: i32| {
            let centre = |class: i32| class * layout.cell + layout.cell / 2;
            pixel(&picture, (layout.left + centre(predicted), layout.top + centre(truth)))
        };
        assert_eq!([cell(1, 1), cell(1, 2), cell(1, 3)], [RAMP[1], RAMP[1], RAMP[0]]);
        assert_eq!([cell(3, 4), cell(3, 3), cell(0, 0)], [RAMP[2], RAMP[0], NOTHING]);
        let key = layout.left + layout.side + 2 * GAP + KEY / 2;
        assert_eq!(pixel(&picture, (key, layout.top)), RAMP[2]);
        assert_eq!(pixel(&picture, (key, layout.top + layout.side - 1)), RAMP[0]);
    }

    #[test]
    fn any_number_of_classes_is_drawn() {
        for classes in [1, 2, 10, 105, 2000] {
            let mut confusion = of(classes);
            confusion.add(classes - 1, 0);
            let layout = Layout::new(&confusion, "").unwrap();
            let picture = confusion.picture().unwrap();
            // The first cell of the last row.
            let corner = (layout.left, layout.top + layout.side - layout.cell);
            assert_eq!(pixel(&picture, corner), RAMP[2], "{classes}");
            let side = layout.side as u32;
            assert!((240..=2000).contains(&side), "{classes}: {side}");
            let [height, width] = picture.size();
            assert!(height > side && height < side + 300, "{classes}: {height}");
            assert!(width > side && width < side + 400, "{classes}: {width}");
        }
        let error = of(2).picture().unwrap_err().to_string();
        assert!(error.contains("no pictures"), "{error}");
        assert!(of(0).picture().is_err());
    }

    #[test]
    fn the_ramp_darkens_and_stays_readable() {
        let shades: Vec<f64> = (0..=100).map(|i| luminance(ramp(f64::from(i) / 100.0))).collect();
        assert!(shades.windows(2).all(|pair| pair[0] > pair[1]));
        for i in 0..=100 {
            let colour = ramp(f64::from(i) / 100.0);
            let [a, b] = [colour, readable_on(colour)].map(luminance);
            assert!((a.max(b) + 0.05) / (a.min(b) + 0.05) > 4.5, "{i} %");
        }
    }
}
