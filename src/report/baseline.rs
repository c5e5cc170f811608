//! What the visible pixels tell without any learning: the baselines that a reconstruction has to beat.
//!
//! Pictures are `[C, H, W]` of display values in [0, 1]; `hidden` is `[H·W]`, `true` where a pixel may not be
//! seen. Hidden values are never read. Where nothing is visible, everything is middle grey.

/// The value of pixels of which nothing is known.
const GREY: f64 = 0.5;
/// Root mean square of the residual (in display values, per hidden pixel) at which a solution is taken: the
/// error that is left is far below one step of 8 bits.
const RESIDUAL: f64 = 1e-6;

/// `image` with hidden pixels in the mean colour of the visible ones.
///
/// # Panics
/// If `image` is not a whole number of planes of `hidden`'s length.
pub fn mean_color(image: &[f32], hidden: &[bool]) -> Vec<f32> {
    let fill = |plane: &[f32]| {
        let mean = visible_mean(plane, hidden) as f32;
        let choose = |(&value, &hidden): (&f32, &bool)| if hidden { mean } else { value };
        plane.iter().zip(hidden).map(choose).collect::<Vec<f32>>()
    };
    planes(image, hidden).flat_map(fill).collect()
}

/// `image`, `width` pixels wide, with hidden pixels filled harmonically: each is the mean of its neighbours
/// (above, below, left and right, as far as the picture goes). That is Laplace's equation with the visible
/// pixels as boundary values and no flow across the picture's edges, the smoothest continuation that there
/// is; J. Shen and T. F. Chan, "Mathematical models for local nontexture inpaintings" (2002).
///
/// # Panics
/// If `image` is not a whole number of planes of `hidden`'s length, or that of rows of `width`.
pub fn harmonic(image: &[f32], width: usize, hidden: &[bool]) -> Vec<f32> {
    let membrane = Membrane::new(width, hidden);
    planes(image, hidden).flat_map(|plane| membrane.fill(plane, hidden)).collect()
}

fn planes<'a>(image: &'a [f32], hidden: &[bool]) -> impl Iterator<Item = &'a [f32]> {
    assert!(image.len().is_multiple_of(hidden.len()), "planes of {} pixels", hidden.len());
    image.chunks_exact(hidden.len())
}

fn visible_mean(plane: &[f32], hidden: &[bool]) -> f64 {
    let visible = || plane.iter().zip(hidden).filter(|&(_, &hidden)| !hidden);
    let sum: f64 = visible().map(|(&value, _)| f64::from(value)).sum();
    match visible().count() {
        0 => GREY,
        count => sum / count as f64,
    }
}

/// The linear system of a picture's hidden pixels: for each, its number of neighbours times its value, minus
/// their values, is zero. Symmetric, and positive definite if any pixel is visible, because every hidden pixel
/// is then connected to a visible one. Fields have a frame of zeros one pixel wide, so that every pixel has four
/// neighbours.
struct Membrane {
    /// Pixels of the picture in a row.
    width: usize,
    /// 1 for hidden pixels, else 0.
    hidden: Vec<f64>,
    /// Neighbours that belong to the picture.
    degree: Vec<f64>,
}

impl Membrane {
    fn new(width: usize, hidden: &[bool]) -> Self {
        assert!(hidden.len().is_multiple_of(width), "rows of {width} pixels");
        let height = hidden.len() / width;
        let hidden: Vec<f64> = hidden.iter().map(|&hidden| f64::from(u8::from(hidden))).collect();
        let neighbours = |i: usize| {
            let (x, y) = (i % width, i / width);
            let exist = [x > 0, x + 1 < width, y > 0, y + 1 < height];
            exist.map(|exists| f64::from(u8::from(exists))).iter().sum()
        };
        let degree: Vec<f64> = (0..hidden.len()).map(neighbours).collect();
        Self { width, hidden: framed(&hidden, width), degree: framed(&degree, width) }
    }

    /// `plane` with its hidden pixels solved for: conjugate gradients, in f64, from the visible mean.
    fn fill(&self, plane: &[f32], hidden: &[bool]) -> Vec<f32> {
        let mean = visible_mean(plane, hidden);
        let begin = |(&value, &hidden)| if hidden { mean } else { f64::from(value) };
        let mut field =
            framed(&plane.iter().zip(hidden).map(begin).collect::<Vec<_>>(), self.width);

        let mut applied = vec![0.0; field.len()];
        self.apply(&field, &mut applied);
        let mut residual: Vec<f64> = applied.iter().map(|value| -value).collect();
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let enough = RESIDUAL * RESIDUAL * self.hidden.iter().sum::<f64>();
        // A picture that is not finite has no solution to go on for.
        while square > enough && square.is_finite() {
            self.apply(&direction, &mut applied);
            let step = square / dot(&direction, &applied);
            add(&mut field, step, &direction);
            add(&mut residual, -step, &applied);
            let before = std::mem::replace(&mut square, dot(&residual, &residual));
            let turn = square / before;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + turn * *d);
        }
        let rows = field.chunks_exact(self.width + 2).skip(1).take(plane.len() / self.width);
        rows.flat_map(|row| &row[1..=self.width]).map(|&value| value as f32).collect()
    }

    /// What `field` leaves of the equations at hidden pixels, 0 elsewhere.
    fn apply(&self, field: &[f64], out: &mut [f64]) {
        let stride = self.width + 2;
        let inner = stride..field.len() - stride;
        let [above, left, here, right, below] =
            [0, stride - 1, stride, stride + 1, 2 * stride].map(|at| &field[at..][..inner.len()]);
        let (degree, hidden) = (&self.degree[inner.clone()], &self.hidden[inner.clone()]);
        for (i, out) in out[inner].iter_mut().enumerate() {
            let around = above[i] + below[i] + left[i] + right[i];
            *out = hidden[i] * (degree[i] * here[i] - around);
        }
    }
}

/// `plane`, rows of `width`, with a frame of zeros one pixel wide.
fn framed(plane: &[f64], width: usize) -> Vec<f64> {
    let stride = width + 2;
    let mut framed = vec![0.0; (plane.len() / width + 2) * stride];
    for (row, framed) in plane.chunks_exact(width).zip(framed.chunks_exact_mut(stride).skip(1)) {
        framed[1..=width].copy_from_slice(row);
    }
    framed
}

/// `to += factor · values`.
fn add(to: &mut [f64], factor: f64, values: &[f64]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += factor * value);
}

/// The scalar product, summed in eight interleaved parts, which a processor adds side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut parts = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (part, (a, b)) in parts.iter_mut().zip(a.iter().zip(b)) {
            *part += a * b;
        }
    }
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of `height × width` pixels with the value `f(x, y)`.
    fn picture([height, width]: [usize; 2], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
        let at = |i: usize| f((i % width) as f32, (i / width) as f32);
        (0..height * width).map(at).collect()
    }

    /// `image` where hidden pixels hold what must not be read.
    fn spoilt(image: &[f32], hidden: &[bool]) -> Vec<f32> {
        let spoil = |(i, &value)| if hidden[i % hidden.len()] { f32::NAN } else { value };
        image.iter().enumerate().map(spoil).collect()
    }

    fn worst(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Visible frame, hidden inside: functions whose five-point Laplacian is zero come back.
    #[test]
    fn harmonic_functions_are_reproduced() {
        let size @ [height, width] = [23, 31];
        let inside =
            |x: usize, y: usize| (1..width - 1).contains(&x) && (1..height - 1).contains(&y);
        let hidden: Vec<bool> = (0..height * width).map(|i| inside(i % width, i / width)).collect();
        let ramp = picture(size, |x, y| 0.1 + 0.02 * x + 0.01 * y);
        let saddle = picture(size, |x, y| 0.5 + (x * x - y * y) / 2000.0);
        let twist = picture(size, |x, y| x * y / 700.0);
        let image = [ramp, saddle, twist].concat();
        let filled = harmonic(&spoilt(&image, &hidden), width, &hidden);
        assert!(worst(&filled, &image) < 1e-4, "{}", worst(&filled, &image));
    }

    /// Each hidden pixel is the mean of its neighbours, also at edges and corners.
    #[test]
    fn scattered_holes_are_means_of_neighbours() {
        let [height, width] = [16, 12];
        let image = picture([height, width], |x, y| (x * 0.37 + y * y * 0.11).fract());
        let hidden: Vec<bool> = (0..192).map(|i| (i * 37 + i / 7) % 4 != 1).collect();
        let filled = harmonic(&spoilt(&image, &hidden), width, &hidden);
        for pixel in 0..192 {
            if !hidden[pixel] {
                assert_eq!(filled[pixel], image[pixel]);
                continue;
            }
            let (x, y) = (pixel % width, pixel / width);
            let mut around = Vec::new();
            around.extend((x > 0).then(|| filled[pixel - 1]));
            around.extend((x + 1 < width).then(|| filled[pixel + 1]));
            around.extend((y > 0).then(|| filled[pixel - width]));
            around.extend((y + 1 < height).then(|| filled[pixel + width]));
            let mean = around.iter().sum::<f32>() / around.len() as f32;
            assert!((filled[pixel] - mean).abs() < 1e-5, "{pixel}");
        }
    }

    /// In one row the solution is known: straight between visible pixels, constant beyond the last.
    #[test]
    fn a_row_is_interpolated() {
        let row = [9.0, 9.0, 0.2, 9.0, 9.0, 9.0, 0.6, 9.0];
        let hidden = row.map(|value| value == 9.0);
        let expected = [0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6];
        assert!(worst(&harmonic(&row, 8, &hidden), &expected) < 1e-5);
        // The same in a column.
        assert!(worst(&harmonic(&row, 1, &hidden), &expected) < 1e-5);
    }

    #[test]
    fn nothing_or_everything_hidden() {
        let image = picture([3, 4], |x, y| 0.1 * x + 0.05 * y);
        assert_eq!(harmonic(&image, 4, &[false; 12]), image);
        assert_eq!(mean_color(&image, &[false; 12]), image);
        assert_eq!(harmonic(&image, 4, &[true; 12]), [0.5; 12]);
        assert_eq!(mean_color(&image, &[true; 12]), [0.5; 12]);
    }

    #[test]
    fn the_mean_is_that_of_visible_pixels() {
        let image = [0.1, 0.3, f32::NAN, 0.6, 0.8, f32::NAN];
        let filled = mean_color(&image, &[false, false, true]);
        assert!(worst(&filled, &[0.1, 0.3, 0.2, 0.6, 0.8, 0.7]) < 1e-6, "{filled:?}");
    }
}
