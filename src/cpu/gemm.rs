//! Products of matrices with what is done to them at once, while they are in registers.
//!
//! The right operand is packed into panels once, then blocks of the result are computed in parallel (see
//! `tile`). K is cut into blocks whose panel stays in the nearest cache; their order alone decides how values
//! are rounded.

use std::ops::Range;

use multiversion::target::match_target;

use super::Value;
use super::math::{gelu, gelu_grad};
use super::parallel::{self, Shared};
use super::tile::{Left, Tile, load, multiply, pack_columns, pack_rows, store};
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
    parallel::with_scratch(right_len + left_len, |scratch| {
        let (right, left) = scratch.split_at_mut(right_len);
        pack(&product, size, left, right);
        let (left, right) = (&*left, &*right);
        let grid = Grid::new(&product, size);
        parallel::each(grid.tasks(), |i| compute(&product, left, right, &grid.task(i)));
    });
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
    parallel::with_scratch(if blocks > 1 { tiles * MR * NR } else { 0 }, |sums| {
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
                    let sum = if block == 0 { [[0.0; NR]; MR] } else { sums[tile_index] };
                    let sum = multiply::<MR, NR, FUSED>(sum, left, panel);
                    if block + 1 < blocks {
                        sums[tile_index] = sum;
                    } else {
                        finish::<MR, NR, FUSED, A, O>(
                            product,
                            task.part,
                            row * MR,
                            column * NR,
                            &sum,
                        );
                    }
                    tile_index += 1;
                }
            }
        }
    });
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
        values = std::array::from_fn(|i| values[i] + bias[i]);
    }
    if constants.gelu {
        if constants.pre {
            // SAFETY: as `out`.
            store(&values, unsafe { product.pre.part(at, width) });
        }
        values = values.map(gelu::<FUSED>);
    }
    if constants.gelu_grad {
        let x = load::<NR, _>(out);
        values = std::array::from_fn(|i| values[i] * gelu_grad::<FUSED>(x[i]));
    }
    if constants.residual {
        let extra = load::<NR, _>(&product.extra[at..][..width]);
        values = std::array::from_fn(|i| values[i] + extra[i]);
    }
    if constants.accumulate {
        let before = load::<NR, _>(out);
        values = std::array::from_fn(|i| values[i] + before[i]);
    }
    store(&values, out);
}
