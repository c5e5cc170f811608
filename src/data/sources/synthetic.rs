//! Drawn pictures that need no files: ornaments of shaded shapes over smooth backgrounds, mirrored left to right
//! and top to bottom. What is hidden can so be known from far away, by those who have found out, and not by a
//! blur of what is near. Only additions, multiplications, divisions, square roots and integer hashes are used,
//! which every platform rounds alike, so the same seed gives the same bytes everywhere.

use super::source::ImageSource;
use crate::data::pixels::{Decoded, Pixels};
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Pictures that are drawn where nothing else is asked for.
pub const SYNTHETIC_LEN: usize = 50_000;

/// First word of the generators' streams.
const PURPOSE: u32 = 0x5EED_0001;

/// Whether [`crate::data::open`] draws pictures for `spec`: for `synthetic` and `synthetic:COUNT` alone.
pub fn is_synthetic(spec: &str) -> bool {
    spec == "synthetic" || spec.starts_with("synthetic:")
}

/// Pictures drawn from (seed, index). The class is the kind of the foremost shape.
pub struct Synthetic {
    len: usize,
    size: [usize; 2],
    channels: usize,
    seed: u64,
    class_names: Vec<String>,
}

impl Synthetic {
    /// `len` pictures of `[height, width]` pixels in any number of channels.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is 0 or too large.
    pub fn new(len: usize, size: [usize; 2], channels: usize, seed: u64) -> Result<Self> {
        let limits = [
            (Setting::Data, len, u32::MAX as usize),
            (Setting::ImageSize, size[0], 1 << 14),
            (Setting::ImageSize, size[1], 1 << 14),
            (Setting::Channels, channels, 1 << 10),
        ];
        for (setting, value, most) in limits {
            if !(1..=most).contains(&value) {
                return Err(Error::config(setting, format!("must be 1 to {most}, got {value}")));
            }
        }
        let class_names = Kind::ALL.map(|kind| kind.name().to_owned()).to_vec();
        Ok(Self { len, size, channels, seed, class_names })
    }

    fn rng(&self, index: usize, part: u32) -> Rng {
        Rng::new(self.seed, [PURPOSE, part, index as u32])
    }

    fn main_kind(&self, index: usize) -> usize {
        self.rng(index, 0).below(Kind::ALL.len() as u32) as usize
    }
}

impl ImageSource for Synthetic {
    fn len(&self) -> usize {
        self.len
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn label(&self, index: usize) -> Option<usize> {
        (index < self.len).then(|| self.main_kind(index))
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        format!("synthetic picture {index} of seed {}", self.seed)
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        let [height, width] = self.size;
        let scene = Scene::draw(&mut self.rng(index, 1), self.main_kind(index), self.channels);
        let mut picture = Pixels::zeros(width, height, self.channels);
        // The shorter side spans −1..1, and each half of it the scene's −0.5..0.5.
        let unit = 2.0 / width.min(height) as f32;
        let in_scene = |at: usize, side: usize| (side as f32 / 2.0 - at as f32 - 0.5) * unit - 0.5;
        let mut color = vec![0.0; self.channels];
        for y in 0..height.div_ceil(2) {
            for x in 0..width.div_ceil(2) {
                scene.color_at([in_scene(x, width), in_scene(y, height)], unit, &mut color);
                let byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
                let pixel: Vec<u8> = color.iter().map(byte).collect();
                for y in [y, height - 1 - y] {
                    for x in [x, width - 1 - x] {
                        picture.at_mut(x, y).copy_from_slice(&pixel);
                    }
                }
            }
        }
        Ok(picture.into())
    }

    fn describe(&self) -> String {
        let ([height, width], channels) = (self.size, self.channels);
        format!(
            "synthetic: {} pictures of {width} × {height} in {channels} channels, {} classes, \
             seed {}",
            self.len,
            Kind::ALL.len(),
            self.seed
        )
    }
}

type Point = [f32; 2];

/// A shape's outline.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Disc,
    Box,
    Triangle,
    Ring,
    Cross,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Disc, Self::Box, Self::Triangle, Self::Ring, Self::Cross];

    fn name(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Box => "box",
            Self::Triangle => "triangle",
            Self::Ring => "ring",
            Self::Cross => "cross",
        }
    }

    /// Distance of `p` to the outline of the shape of size 1, negative inside.
    fn distance(self, [x, y]: Point) -> f32 {
        let cuboid = |half_x: f32, half_y: f32| (x.abs() - half_x).max(y.abs() - half_y);
        match self {
            Self::Disc => length([x, y]) - 1.0,
            Self::Box => cuboid(0.9, 0.7),
            // Three half planes at 120°, the tip upwards.
            Self::Triangle => (y - 0.6).max(0.866_025_4 * x.abs() - 0.5 * y - 0.6),
            Self::Ring => (length([x, y]) - 0.75).abs() - 0.25,
            Self::Cross => cuboid(1.0, 0.3).min(cuboid(0.3, 1.0)),
        }
    }
}

/// What a shape is filled with.
#[derive(Debug, Clone, Copy)]
enum Fill {
    /// One colour, shaded from one side to the other.
    Shaded,
    /// Bands of two colours.
    Stripes,
    /// Squares of two colours.
    Checker,
    /// A smooth random field between two colours.
    Noise,
}

struct Shape {
    kind: Kind,
    center: Point,
    size: f32,
    /// Unit vector along the shape's x axis.
    axis: Point,
    fill: Fill,
    /// Bands per size, for patterns.
    frequency: f32,
    noise: u32,
    colors: [Vec<f32>; 2],
}

/// A background of two colours across and one glow, and shapes from back to front.
struct Scene {
    across: Point,
    background: [Vec<f32>; 2],
    glow: Vec<f32>,
    glow_at: Point,
    clouds: u32,
    light: Point,
    shapes: Vec<Shape>,
}

impl Scene {
    fn draw(rng: &mut Rng, main_kind: usize, channels: usize) -> Self {
        let background = [color(rng, channels), color(rng, channels)];
        let others = 1 + rng.below(4) as usize;
        let mut scene = Self {
            across: direction(rng),
            background,
            glow: color(rng, channels),
            glow_at: point(rng, 1.0),
            clouds: rng.next_u32(),
            light: direction(rng),
            shapes: Vec::with_capacity(others + 1),
        };
        for number in 0..=others {
            let foremost = number == others;
            let any = rng.below(Kind::ALL.len() as u32) as usize;
            let (low, high) = if foremost { (0.3, 0.5) } else { (0.2, 0.45) };
            scene.shapes.push(Shape {
                kind: Kind::ALL[if foremost { main_kind } else { any }],
                center: point(rng, if foremost { 0.4 } else { 0.6 }),
                size: rng.range(low, high),
                axis: direction(rng),
                fill: match rng.below(8) {
                    0 => Fill::Stripes,
                    1 => Fill::Checker,
                    2 | 3 => Fill::Noise,
                    _ => Fill::Shaded,
                },
                frequency: rng.range(1.0, 2.5),
                noise: rng.next_u32(),
                colors: [color(rng, channels), color(rng, channels)],
            });
        }
        scene
    }

    /// The colour at `p`, where one pixel is `unit` wide.
    fn color_at(&self, p: Point, unit: f32, out: &mut [f32]) {
        let across = smooth(0.5 + 0.5 * dot(p, self.across));
        let glow = 0.8 / (1.0 + 4.0 * square(length(minus(p, self.glow_at))));
        let clouds = 0.12 * (field(self.clouds, [p[0] * 1.5, p[1] * 1.5]) - 0.5);
        for (channel, value) in out.iter_mut().enumerate() {
            let base = mix(self.background[0][channel], self.background[1][channel], across);
            *value = mix(base, self.glow[channel], glow) + clouds;
        }
        for shape in &self.shapes {
            shape.paint(p, unit, self.light, out);
        }
    }
}

impl Shape {
    /// Lays the shape over `out`, with an edge one pixel wide.
    fn paint(&self, p: Point, unit: f32, light: Point, out: &mut [f32]) {
        let offset = minus(p, self.center);
        let turned = [dot(offset, self.axis), dot(offset, [-self.axis[1], self.axis[0]])];
        let local = turned.map(|v| v / self.size);
        let coverage = (0.5 - self.kind.distance(local) * self.size / unit).clamp(0.0, 1.0);
        if coverage == 0.0 {
            return;
        }
        let edge = unit / self.size * self.frequency;
        let [u, v] = local.map(|v| v * self.frequency);
        let second = match self.fill {
            Fill::Shaded => 0.0,
            Fill::Stripes => band(u, edge),
            Fill::Checker => {
                let (a, b) = (band(u, edge), band(v, edge));
                a + b - 2.0 * a * b
            }
            Fill::Noise => field(self.noise, [u, v]),
        };
        let shade = 1.0 + 0.3 * dot(offset, light) / self.size;
        for (channel, value) in out.iter_mut().enumerate() {
            let paint = mix(self.colors[0][channel], self.colors[1][channel], second) * shade;
            *value = mix(*value, paint, coverage);
        }
    }
}

/// One value per channel: a common brightness and a channel's own part.
fn color(rng: &mut Rng, channels: usize) -> Vec<f32> {
    let common = rng.uniform();
    (0..channels).map(|_| 0.5 * common + 0.5 * rng.uniform()).collect()
}

fn point(rng: &mut Rng, reach: f32) -> Point {
    [rng.range(-reach, reach), rng.range(-reach, reach)]
}

/// A uniformly random unit vector (a point of the unit disc, scaled).
fn direction(rng: &mut Rng) -> Point {
    loop {
        let p = point(rng, 1.0);
        let length = length(p);
        if length > 0.1 && length <= 1.0 {
            return [p[0] / length, p[1] / length];
        }
    }
}

/// 0 or 1 in turns of length 1, with ramps `edge` wide between them.
fn band(x: f32, edge: f32) -> f32 {
    let phase = x * 0.5 - (x * 0.5).floor();
    let triangle = (phase - 0.5).abs() - 0.25;
    (0.5 + 2.0 * triangle / edge.max(1e-3)).clamp(0.0, 1.0)
}

/// A smooth random field in 0..1 with features of size 1.
fn field(seed: u32, [x, y]: Point) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let (fx, fy) = (smooth(x - column), smooth(y - row));
    let corner = |dx: i32, dy: i32| lattice(seed, column as i32 + dx, row as i32 + dy);
    let top = mix(corner(0, 0), corner(1, 0), fx);
    mix(top, mix(corner(0, 1), corner(1, 1), fx), fy)
}

/// A random value in 0..1 at a point of the integer lattice.
fn lattice(seed: u32, column: i32, row: i32) -> f32 {
    let mut hash = seed
        ^ (column as u32).wrapping_mul(0x9E37_79B9)
        ^ (row as u32).wrapping_mul(0x85EB_CA6B).rotate_left(16);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x7FEB_352D);
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x846C_A68B);
    ((hash ^ (hash >> 16)) >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// 3t² − 2t³ on 0..1.
fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

fn square(x: f32) -> f32 {
    x * x
}

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn length(a: Point) -> f32 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(source: &Synthetic, index: usize) -> Pixels {
        source.decode(index).unwrap().eight().unwrap()
    }

    #[test]
    fn the_same_bytes_everywhere() {
        let source = Synthetic::new(10, [24, 40], 3, 9).unwrap();
        let picture = drawn(&source, 3);
        assert_eq!(picture, drawn(&source, 3));
        assert_ne!(picture, drawn(&source, 4));
        assert_ne!(picture, drawn(&Synthetic::new(10, [24, 40], 3, 10).unwrap(), 3));
        // FNV-1a of the bytes, as first drawn.
        let hash = picture.data.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        assert_eq!(hash, 0xBA43_2217_2BDD_8891, "{hash:#X}");
    }

    #[test]
    fn both_axes_are_mirrors() {
        for [height, width] in [[32, 32], [15, 24]] {
            let picture = drawn(&Synthetic::new(9, [height, width], 3, 2).unwrap(), 8);
            for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
                let (across, down) = (width - 1 - x, height - 1 - y);
                assert_eq!(picture.at(x, y), picture.at(across, y));
                assert_eq!(picture.at(x, y), picture.at(x, down));
            }
        }
    }

    #[test]
    fn any_size_and_number_of_channels() {
        for (size, channels) in [([1, 1], 1), ([5, 64], 4), ([64, 5], 2), ([16, 16], 13)] {
            let picture = drawn(&Synthetic::new(1, size, channels, 0).unwrap(), 0);
            assert_eq!((picture.height, picture.width), (size[0], size[1]));
            assert_eq!(picture.channels, channels);
        }
        assert!(Synthetic::new(0, [8, 8], 3, 0).is_err());
        assert!(Synthetic::new(1, [0, 8], 3, 0).is_err());
        assert!(Synthetic::new(1, [8, 8], 0, 0).is_err());
    }

    #[test]
    fn all_classes_occur() {
        let source = Synthetic::new(200, [8, 8], 3, 0).unwrap();
        let mut counts = [0; 5];
        (0..200).for_each(|i| counts[source.label(i).unwrap()] += 1);
        assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
        assert_eq!(source.label(200), None);
    }
}
