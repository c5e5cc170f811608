//! Products of matrices with what is done to them at once, while they are in registers.
//!
//! The right operand is packed into panels once, then blocks of the result are computed in parallel (see
//! `tile`). K is cut into blocks whose panel stays in the nearest cache; their order alone decides how values
//! are rounded.

use std::ops::Range;

use multiversion::target::match_target;

use super::Value;
use super::math::{gelu, gelu_grad};
use super::parallel::{self, Scratch, Shared};
use super::tile::{Left, Tile, add, load, multiply, pack_columns, pack_rows, store};
use crate::kernels::gemm::{Constants, Params, Slices};

/// Steps along K that a panel of the right operand has in one block: at most 32 KiB.
const K_BLOCK: usize = 256;
/// Rows of a task at most: of the left operand they stay in the second cache with one block of K.
const TASK_ROWS: usize = 96;
/// Columns of a task at most.
const TASK_COLUMNS: usize = 384;
/// Multiplications that are worth a task.
const TASK_GRAIN: usize = 256 * 1024;

/// `out[M,N] = op(A)·op(B)`, then the epilogue; with `split` a sum for every part of K, without.
pub fn gemm<A: Value, O: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A, O>) {
    let [m, n, k, k_part] = [params.m, params.n, params.k, params.k_part].map(|size| size as usize);
    let k_part = if constants.split { k_part } else { k };
    let size = tile_size();
    let product = Product {
        m,
        n,
        k,
        k_part,
        constants: *constants,
        a: slices.a,
        b: slices.b,
        bias: slices.bias,
        extra: slices.extra,
        out: Shared::new(slices.out),
        pre: Shared::new(slices.pre),
    };
    let right_len = n.div_ceil(size.columns) * size.columns * k;
    let left_len = if product.packs_left() { m.div_ceil(size.rows) * size.rows * k } else { 0 };
    let mut scratch = Scratch::new(right_len + left_len);
    let (right, left) = scratch.split_at_mut(right_len);
    pack(&product, size, left, right);
    let (left, right) = (&*left, &*right);
    let grid = Grid::new(&product, size);
    parallel::each(grid.tasks(), |i| compute(&product, left, right, &grid.task(i)));
}

/// Rows and columns of a tile.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
}

struct Product<'a, A, O> {
    m: usize,
    n: usize,
    k: usize,
    /// K of one sum.
    k_part: usize,
    constants: Constants,
    a: &'a [A],
    b: &'a [A],
    bias: &'a [f32],
    extra: &'a [A],
    out: Shared<'a, O>,
    pre: Shared<'a, A>,
}

impl<A: Value, O> Product<'_, A, O> {
    /// Whether the left operand cannot be read as it lies.
    fn packs_left(&self) -> bool {
        self.constants.trans_a || !A::SINGLE
    }
}

/// The result cut into tasks: for each part of K rectangles of tiles.
struct Grid {
    rows: usize,
    columns: usize,
    parts: usize,
    task_rows: usize,
    task_columns: usize,
}

/// Tiles of the result in one part of K.
struct Task {
    part: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Grid {
    fn new<A: Value, O>(product: &Product<'_, A, O>, size: Size) -> Self {
        let rows = product.m.div_ceil(size.rows);
        let columns = product.n.div_ceil(size.columns);
        let parts = product.k.div_ceil(product.k_part);
        let mut grid = Self {
            rows,
            columns,
            parts,
            task_rows: (TASK_ROWS / size.rows).min(rows),
            task_columns: (TASK_COLUMNS / size.columns).min(columns),
        };
        // Enough tasks that threads end together, as long as they are worth it.
        let tile = size.rows * size.columns * product.k_part.min(product.k);
        let wanted = 4 * parallel::threads();
        while grid.tasks() < wanted && grid.task_rows * grid.task_columns * tile > TASK_GRAIN {
            let longer =
                if grid.task_rows > 2 { &mut grid.task_rows } else { &mut grid.task_columns };
            if *longer == 1 {
                break;
            }
            *longer = longer.div_ceil(2);
        }
        grid
    }

    fn along_rows(&self) -> usize {
        self.rows.div_ceil(self.task_rows)
    }

    fn along_columns(&self) -> usize {
        self.columns.div_ceil(self.task_columns)
    }

    fn tasks(&self) -> usize {
        self.parts * self.along_rows() * self.along_columns()
    }

    fn task(&self, i: usize) -> Task {
        let (i, column) = (i / self.along_columns(), i % self.along_columns());
        let (part, row) = (i / self.along_rows(), i % self.along_rows());
        let range = |i: usize, size: usize, end: usize| i * size..((i + 1) * size).min(end);
        Task {
            part,
            rows: range(row, self.task_rows, self.rows),
            columns: range(column, self.task_columns, self.columns),
        }
    }
}

vectorised! {
    fn tile_size() -> Size {
        match_target! {
            "x86_64+avx512f" => Size { rows: 12, columns: 32 },
            "x86_64+avx2+fma" => Size { rows: 6, columns: 16 },
            "aarch64+neon" => Size { rows: 6, columns: 16 },
            _ => Size { rows: 4, columns: 8 },
        }
    }
}

/// Packs the operands into panels, `right` of `[K, columns]` and, where it is packed, `left` of `[K, rows]`.
fn pack<A: Value, O: Value>(
    product: &Product<'_, A, O>,
    size: Size,
    left: &mut [f32],
    right: &mut [f32],
) {
    let (left_panel, right_panel) = (size.rows * product.k, size.columns * product.k);
    let right_panels = right.len() / right_panel;
    let left_panels = left.len() / left_panel;
    let (left, right) = (Shared::new(left), Shared::new(right));
    parallel::each(right_panels + left_panels, |i| {
        // SAFETY: panels do not overlap, and each has one task.
        unsafe {
            if i < right_panels {
                pack_right(product, i, right.part(i * right_panel, right_panel));
            } else {
                let i = i - right_panels;
                pack_left(product, i, left.part(i * left_panel, left_panel));
            }
        }
    });
}

vectorised! {
    fn pack_right<A: Value, O: Value>(product: &Product<'_, A, O>, i: usize, panel: &mut [f32]) {
        match_target! {
            "x86_64+avx512f" => pack_panel::<32, A>(product.b, !product.constants.trans_b, [product.n, product.k], i, panel),
            "x86_64+avx2+fma" => pack_panel::<16, A>(product.b, !product.constants.trans_b, [product.n, product.k], i, panel),
            "aarch64+neon" => pack_panel::<16, A>(product.b, !product.constants.trans_b, [product.n, product.k], i, panel),
            _ => pack_panel::<8, A>(product.b, !product.constants.trans_b, [product.n, product.k], i, panel),
        }
    }
}

vectorised! {
    fn pack_left<A: Value, O: Value>(product: &Product<'_, A, O>, i: usize, panel: &mut [f32]) {
        match_target! {
            "x86_64+avx512f" => pack_panel::<12, A>(product.a, product.constants.trans_a, [product.m, product.k], i, panel),
            "x86_64+avx2+fma" => pack_panel::<6, A>(product.a, product.constants.trans_a, [product.m, product.k], i, panel),
            "aarch64+neon" => pack_panel::<6, A>(product.a, product.constants.trans_a, [product.m, product.k], i, panel),
            _ => pack_panel::<4, A>(product.a, product.constants.trans_a, [product.m, product.k], i, panel),
        }
    }
}

/// Packs panel `i` of an operand of `size` [M or N, K], which is stored [K, ..] if `k_first`.
#[inline(always)]
fn pack_panel<const WIDTH: usize, A: Value>(
    matrix: &[A],
    k_first: bool,
    [extent, k]: [usize; 2],
    i: usize,
    panel: &mut [f32],
) {
    let panel = panel.as_chunks_mut::<WIDTH>().0;
    if k_first {
        pack_columns(matrix, extent, i * WIDTH, extent, panel);
    } else {
        pack_rows(matrix, k, i * WIDTH, extent, panel);
    }
}

vectorised! {
    fn compute<A: Value, O: Value>(product: &Product<'_, A, O>, left: &[f32], right: &[f32], task: &Task) {
        match_target! {
            "x86_64+avx512f" => compute_tiles::<12, 32, true, A, O>(product, left, right, task),
            "x86_64+avx2+fma" => compute_tiles::<6, 16, true, A, O>(product, left, right, task),
            "aarch64+neon" => compute_tiles::<6, 16, true, A, O>(product, left, right, task),
            _ => compute_tiles::<4, 8, false, A, O>(product, left, right, task),
        }
    }
}

#[inline(always)]
fn compute_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value, O: Value>(
    product: &Product<'_, A, O>,
    left: &[f32],
    right: &[f32],
    task: &Task,
) {
    let k = product.k;
    let part = task.part * product.k_part..((task.part + 1) * product.k_part).min(k);
    let blocks = part.len().div_ceil(K_BLOCK);
    let tiles = task.rows.len() * task.columns.len();
    let (left_panels, rows) = if product.packs_left() {
        (left.as_chunks::<MR>().0, &[][..])
    } else {
        (&[][..], bytemuck::cast_slice::<A, f32>(product.a))
    };
    let mut sums = Scratch::new(if blocks > 1 { tiles * MR * NR } else { 0 });
    let sums = sums.as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    for block in 0..blocks {
        let first = part.start + block * K_BLOCK;
        let len = K_BLOCK.min(part.end - first);
        let mut tile_index = 0;
        for column in task.columns.clone() {
            let panel = right[column * k * NR..][..k * NR].as_chunks::<NR>().0;
            let panel = &panel[first..][..len];
            for row in task.rows.clone() {
                let left = if product.packs_left() {
                    Left::Packed(&left_panels[row * k + first..][..len])
                } else {
                    // Rows past the end repeat the last one and are dropped.
                    Left::Rows(std::array::from_fn(|i| {
                        let row = (row * MR + i).min(product.m - 1);
                        &rows[row * k + first..][..len]
                    }))
                };
                let mut tile = multiply::<MR, NR, FUSED>(left, panel);
                if block > 0 {
                    add(&mut tile, &sums[tile_index]);
                }
                if block + 1 < blocks {
                    sums[tile_index] = tile;
                } else {
                    finish::<MR, NR, FUSED, A, O>(product, task.part, row * MR, column * NR, &tile);
                }
                tile_index += 1;
            }
        }
    }
}

/// Stores a tile, or what the epilogue makes of it; what is outside the result is dropped.
#[inline(always)]
fn finish<const MR: usize, const NR: usize, const FUSED: bool, A: Value, O: Value>(
    product: &Product<'_, A, O>,
    part: usize,
    row: usize,
    column: usize,
    tile: &Tile<MR, NR>,
) {
    let width = NR.min(product.n - column);
    let rows = MR.min(product.m - row);
    for (i, sums) in tile.iter().take(rows).enumerate() {
        let at = (row + i) * product.n + column;
        // SAFETY: tiles do not overlap, parts have results of their own.
        let out = unsafe { product.out.part(part * product.m * product.n + at, width) };
        if product.constants.split {
            store(sums, out);
        } else if width == NR {
            // As `width` is a constant here, loops are unrolled.
            epilogue::<NR, FUSED, A, O>(product, at, column, NR, *sums, out);
        } else {
            epilogue::<NR, FUSED, A, O>(product, at, column, width, *sums, out);
        }
    }
}

/// What is done to `width` values from `at` on, in the order of the shader.
#[inline(always)]
fn epilogue<const NR: usize, const FUSED: bool, A: Value, O: Value>(
    product: &Product<'_, A, O>,
    at: usize,
    column: usize,
    width: usize,
    mut values: [f32; NR],
    out: &mut [O],
) {
    let constants = &product.constants;
    if constants.bias {
        let bias = load::<NR, _>(&product.bias[column..][..width]);
        for (value, bias) in values.iter_mut().zip(&bias) {
            *value += bias;
        }
    }
    if constants.gelu {
        if constants.pre {
            // SAFETY: as `out`.
            store(&values, unsafe { product.pre.part(at, width) });
        }
        for value in &mut values {
            *value = gelu::<FUSED>(*value);
        }
    }
    if constants.gelu_grad {
        let x = load::<NR, _>(out);
        for (value, x) in values.iter_mut().zip(&x) {
            *value *= gelu_grad::<FUSED>(*x);
        }
    }
    if constants.residual {
        let extra = load::<NR, _>(&product.extra[at..][..width]);
        for (value, extra) in values.iter_mut().zip(&extra) {
            *value += extra;
        }
    }
    if constants.accumulate {
        let before = load::<NR, _>(out);
        for (value, before) in values.iter_mut().zip(&before) {
            *value += before;
        }
    }
    store(&values, out);
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::cpu::oracle::{self, Rng};

    /// Every layout, with sizes around those of tiles, blocks of K and tasks.
    #[test]
    fn products_are_those_of_f64() {
        let sizes = [
            (1, 1, 1),
            (1, 5, 300),
            (7, 63, 65),
            (13, 33, 17),
            (17, 16, 256),
            (65, 48, 257),
            (97, 100, 64),
            (200, 31, 520),
        ];
        for (m, n, k) in sizes {
            for layout in [[false, false], [false, true], [true, false], [true, true]] {
                check::<f32, f32>(m, n, k, layout, Constants::default(), 1e-6);
                check::<f16, f16>(m, n, k, layout, Constants::default(), 1e-3);
                check::<f16, f32>(m, n, k, layout, Constants::default(), 1e-6);
            }
        }
    }

    #[test]
    fn epilogues_are_those_of_f64() {
        let none = Constants::default();
        let epilogues = [
            Constants { bias: true, ..none },
            Constants { bias: true, gelu: true, ..none },
            Constants { bias: true, gelu: true, pre: true, ..none },
            Constants { gelu_grad: true, ..none },
            Constants { bias: true, residual: true, ..none },
            Constants { accumulate: true, ..none },
            Constants { bias: true, gelu: true, residual: true, accumulate: true, ..none },
            Constants { split: true, bias: true, ..none },
        ];
        for constants in epilogues {
            for layout in [[false, true], [true, false]] {
                check::<f32, f32>(37, 53, 300, layout, constants, 2e-6);
                check::<f16, f16>(37, 53, 300, layout, constants, 1e-3);
            }
        }
    }

    fn check<A: Value, O: Value>(
        m: usize,
        n: usize,
        k: usize,
        [trans_a, trans_b]: [bool; 2],
        constants: Constants,
        tolerance: f64,
    ) {
        let constants = Constants { trans_a, trans_b, ..constants };
        let k_part = if constants.split { 128 } else { k };
        let parts = k.div_ceil(k_part);
        let mut rng = Rng(1);
        let (a, b, extra) =
            (rng.values::<A>(m * k), rng.values::<A>(k * n), rng.values::<A>(m * n));
        let bias = rng.values::<f32>(n);
        // One more than are written, which keep their value.
        let before = rng.values::<O>(parts * m * n + 1);
        let mut out = before.clone();
        let mut pre = vec![A::of(7.0); m * n + 1];
        let params =
            Params { m: m as u32, n: n as u32, k: k as u32, groups_m: 0, k_part: k_part as u32 };
        let slices =
            Slices { a: &a, b: &b, bias: &bias, extra: &extra, out: &mut out, pre: &mut pre };
        gemm(&params, &constants, slices);

        let name = format!("{m}×{n}×{k} {constants:?}");
        let get = |values: &[A], i: usize| f64::from(values[i].get());
        let mut expected = Vec::new();
        let mut expected_pre = Vec::new();
        for part in 0..parts {
            for i in 0..m * n {
                let (row, col) = (i / n, i % n);
                let mut v = (part * k_part..k.min((part + 1) * k_part))
                    .map(|k_| {
                        let a = get(&a, if trans_a { k_ * m + row } else { row * k + k_ });
                        let b = get(&b, if trans_b { col * k + k_ } else { k_ * n + col });
                        a * b
                    })
                    .sum::<f64>();
                let old = f64::from(before[i].get());
                if !constants.split {
                    v += if constants.bias { f64::from(bias[col]) } else { 0.0 };
                    expected_pre.push(v);
                    v = if constants.gelu { oracle::gelu(v) } else { v };
                    v *= if constants.gelu_grad { oracle::gelu_grad(old) } else { 1.0 };
                    v += if constants.residual { get(&extra, i) } else { 0.0 };
                    v += if constants.accumulate { old } else { 0.0 };
                }
                expected.push(v);
            }
        }
        oracle::assert_close(&out[..expected.len()], &expected, tolerance, &name);
        assert_eq!(out.last().map(|x| x.get()), before.last().map(|x| x.get()), "{name}");
        if constants.pre {
            oracle::assert_close(&pre[..m * n], &expected_pre, tolerance, &name);
        }
        let written = if constants.pre { m * n } else { 0 };
        assert!(pre[written..].iter().all(|x| x.get() == 7.0), "{name}");
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (m, n, k) = (321, 130, 700);
        let mut rng = Rng(2);
        let (a, b) = (rng.values::<f32>(m * k), rng.values::<f32>(k * n));
        let run = || {
            let mut out = vec![0.0_f32; m * n];
            let params =
                Params { m: m as u32, n: n as u32, k: k as u32, groups_m: 0, k_part: k as u32 };
            let constants = Constants { trans_a: true, ..Constants::default() };
            let slices =
                Slices { a: &a, b: &b, bias: &[], extra: &[], out: &mut out, pre: &mut [] };
            gemm(&params, &constants, slices);
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        oracle::assert_same_on_any_threads(run);
    }
}
