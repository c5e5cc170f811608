//! Products of matrices with what is done to them at once, while they are in registers.
//!
//! The result is cut into tiles, and tasks compute rectangles of them in parallel (see `tile`). The right operand is
//! packed into panels; the left one, too, but for rows in f32, which are read as they lie. What many tasks read is
//! packed before, what one task reads it packs itself, while it is in the cache. K is cut into blocks whose panel
//! stays in the nearest cache; their order alone decides how values are rounded.

use std::ops::Range;

use super::Value;
use super::epilogue::End;
use super::parallel::{self, Scratch, Shared};
use super::tile::{Left, add, multiply, pack_columns, pack_rows};
use crate::gemm::{Constants, Params, Slices};

/// Steps along K that a panel of the right operand has in one block: at most 32 KiB.
const K_BLOCK: usize = 256;
/// Rows of a task at most, as long as there are several tasks along M.
const TASK_ROWS: usize = 96;
/// Rows of a result whose tasks have all of them: with one block of K the left operand stays in the second cache.
const FEW_ROWS: usize = 256;
/// Columns of a task at most.
const TASK_COLUMNS: usize = 384;
/// Multiplications that are worth a task.
const TASK_GRAIN: usize = 256 * 1024;
/// Rows or columns that a task packs before.
const PACK_EXTENT: usize = 96;

/// `out[M,N] = op(A)·op(B)`, then the epilogue; with `split` a sum for every part of K, without.
pub fn gemm<A: Value, O: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A, O>) {
    let [m, n, k, k_part] = [params.m, params.n, params.k, params.k_part].map(|size| size as usize);
    let size = tile_size();
    let product = Product {
        m,
        n,
        k,
        k_part: if constants.split { k_part } else { k },
        // Tasks then have columns of their own, and there have to be enough.
        few_rows: m <= FEW_ROWS && n.div_ceil(size.columns) >= 2 * parallel::threads(),
        a: slices.a,
        b: slices.b,
        end: End {
            m,
            n,
            constants: *constants,
            bias: slices.bias,
            extra: slices.extra,
            out: Shared::new(slices.out),
            pre: Shared::new(slices.pre),
        },
    };
    let grid = Grid::new(&product, size);
    let packed = product.pack_shared(size);
    parallel::each(grid.tasks(), |i| compute(&product, &packed, &grid.task(i)));
}

/// Rows and columns of a tile.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
}

const fn size<const MR: usize, const NR: usize, const FUSED: bool>() -> Size {
    Size { rows: MR, columns: NR }
}

vectorised! {
    fn tile_size() -> Size {
        in_tiles!(size::<>())
    }
}

struct Product<'a, A, O> {
    m: usize,
    n: usize,
    k: usize,
    /// K of one sum.
    k_part: usize,
    /// Whether tasks have all rows: they share the left operand, else the right one.
    few_rows: bool,
    a: &'a [A],
    b: &'a [A],
    end: End<'a, A, O>,
}

impl<A: Value, O> Product<'_, A, O> {
    /// Whether the left operand cannot be read as it lies.
    fn packs_left(&self) -> bool {
        self.end.constants.trans_a || !A::SINGLE
    }

    fn left(&self) -> Operand<'_, A> {
        Operand { values: self.a, k_first: self.end.constants.trans_a, extent: self.m, k: self.k }
    }

    fn right(&self) -> Operand<'_, A> {
        Operand { values: self.b, k_first: !self.end.constants.trans_b, extent: self.n, k: self.k }
    }

    /// The part of K that sum `i` is over.
    fn part(&self, i: usize) -> Range<usize> {
        i * self.k_part..((i + 1) * self.k_part).min(self.k)
    }

    fn parts(&self) -> usize {
        self.k.div_ceil(self.k_part)
    }

    /// Packs the operand that tasks share: block by block of K, and in each panel by panel, `[steps, width]`.
    fn pack_shared(&self, size: Size) -> Scratch {
        let (operand, width) = match self.few_rows {
            true if self.packs_left() => (self.left(), size.rows),
            true => return Scratch::new(0),
            false => (self.right(), size.columns),
        };
        let padded = operand.extent.next_multiple_of(width);
        let group = PACK_EXTENT.next_multiple_of(width);
        let groups = padded.div_ceil(group);
        let blocks: Vec<Block> = (0..self.parts()).flat_map(|i| blocks(self.part(i))).collect();
        let mut packed = Scratch::new(padded * self.k);
        let to = Shared::new(&mut packed);
        parallel::each(blocks.len() * groups, |i| {
            let block = blocks[i / groups];
            let first = i % groups * group;
            let range = first..(first + group).min(padded);
            let at = block.first * padded + first * block.steps;
            // SAFETY: groups do not overlap, and each has one task.
            let to = unsafe { to.part(at, range.len() * block.steps) };
            pack_group(operand, width, block, range, to);
        });
        packed
    }
}

/// Steps along K that are summed at once.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    steps: usize,
}

/// The blocks of a part of K.
fn blocks(part: Range<usize>) -> impl Iterator<Item = Block> {
    let end = part.end;
    part.step_by(K_BLOCK).map(move |first| Block { first, steps: K_BLOCK.min(end - first) })
}

/// A matrix as it lies: `[K, extent]` if `k_first`, else `[extent, K]`.
#[derive(Clone, Copy)]
struct Operand<'a, A> {
    values: &'a [A],
    k_first: bool,
    extent: usize,
    k: usize,
}

impl<A: Value> Operand<'_, A> {
    /// Packs the columns or rows of `range`, which may end past the last one, in a block of K.
    #[inline(always)]
    fn pack<const WIDTH: usize>(self, block: Block, range: Range<usize>, to: &mut [[f32; WIDTH]]) {
        let Self { values, k_first, extent, k } = self;
        if k_first {
            let range = range.start..range.end.min(extent);
            pack_columns(&values[block.first * extent..], extent, range, block.steps, to);
        } else {
            for (first, panel) in range.step_by(WIDTH).zip(to.chunks_exact_mut(block.steps)) {
                pack_rows(&values[block.first..], k, first, extent, panel);
            }
        }
    }
}

vectorised! {
    fn pack_group<A: Value>(
        operand: Operand<'_, A>,
        width: usize,
        block: Block,
        range: Range<usize>,
        to: &mut [f32],
    ) {
        // Rows and columns of the tiles.
        match width {
            4 => operand.pack::<4>(block, range, to.as_chunks_mut().0),
            6 => operand.pack::<6>(block, range, to.as_chunks_mut().0),
            8 => operand.pack::<8>(block, range, to.as_chunks_mut().0),
            12 => operand.pack::<12>(block, range, to.as_chunks_mut().0),
            16 => operand.pack::<16>(block, range, to.as_chunks_mut().0),
            32 => operand.pack::<32>(block, range, to.as_chunks_mut().0),
            _ => unreachable!("tiles of {width}"),
        }
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
        let task_rows = if product.few_rows { rows } else { TASK_ROWS / size.rows };
        let mut grid = Self {
            rows,
            columns,
            parts: product.parts(),
            task_rows: task_rows.min(rows),
            task_columns: (TASK_COLUMNS / size.columns).min(columns),
        };
        // Enough tasks that threads end together, as long as they are worth it.
        let tile = size.rows * size.columns * product.k_part;
        let wanted = 4 * parallel::threads();
        while grid.tasks() < wanted && grid.task_rows * grid.task_columns * tile > TASK_GRAIN {
            let longer = if grid.task_rows > 2 && !product.few_rows {
                &mut grid.task_rows
            } else {
                &mut grid.task_columns
            };
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
    fn compute<A: Value, O: Value>(product: &Product<'_, A, O>, packed: &[f32], task: &Task) {
        in_tiles!(compute_tiles::<A, O>(product, packed, task))
    }
}

#[inline(always)]
fn compute_tiles<const MR: usize, const NR: usize, const FUSED: bool, A: Value, O: Value>(
    product: &Product<'_, A, O>,
    packed: &[f32],
    task: &Task,
) {
    let Product { m, n, k, few_rows, .. } = *product;
    let packs_left = product.packs_left();
    let rows: &[f32] = if packs_left { &[] } else { bytemuck::cast_slice(product.a) };
    let part = product.part(task.part);
    let last = (part.len() - 1) / K_BLOCK;
    let tiles = task.rows.len() * task.columns.len();
    // What this task packs itself: its left operand, or one panel of the right one at a time.
    let own_width = match few_rows {
        true => NR,
        false if packs_left => task.rows.len() * MR,
        false => 0,
    };
    let mut own = Scratch::new(own_width * K_BLOCK.min(part.len()));
    // Tiles are finished in memory: registers are for the loop over K.
    let kept = if last > 0 { tiles } else { 1 };
    let mut sums = Scratch::new(kept * MR * NR);
    let sums = sums.as_chunks_mut::<NR>().0.as_chunks_mut::<MR>().0;
    for (i, block) in blocks(part).enumerate() {
        let Block { first, steps } = block;
        if packs_left && !few_rows {
            let range = task.rows.start * MR..task.rows.end * MR;
            let to = own.as_chunks_mut::<MR>().0;
            product.left().pack(block, range, &mut to[..task.rows.len() * steps]);
        }
        for tile in 0..tiles {
            // Row by row, as results lie in memory; a panel that is packed at once serves all its rows.
            let (row, column) = if few_rows {
                (tile % task.rows.len(), tile / task.rows.len())
            } else {
                (tile / task.columns.len(), tile % task.columns.len())
            };
            let (row, column) = (task.rows.start + row, task.columns.start + column);
            if few_rows && row == task.rows.start {
                let to = &mut own.as_chunks_mut::<NR>().0[..steps];
                product.right().pack(block, column * NR..(column + 1) * NR, to);
            }
            let left = if packs_left {
                let panel = if few_rows {
                    &packed[first * m.next_multiple_of(MR) + row * steps * MR..]
                } else {
                    &own[(row - task.rows.start) * steps * MR..]
                };
                Left::Packed(panel.as_chunks::<MR>().0)
            } else {
                // Rows past the end repeat the last one and are dropped.
                let mut own = [&rows[..0]; MR];
                for (i, own) in own.iter_mut().enumerate() {
                    *own = &rows[(row * MR + i).min(m - 1) * k + first..][..steps];
                }
                Left::Rows(own)
            };
            let right = if few_rows {
                &own[..]
            } else {
                &packed[first * n.next_multiple_of(NR) + column * steps * NR..]
            };
            let sum = &mut sums[tile % kept];
            let product_of_block = multiply::<MR, NR, FUSED>(left, &right.as_chunks().0[..steps]);
            if i == 0 {
                *sum = product_of_block;
            } else {
                add(sum, &product_of_block);
            }
            if i == last {
                product.end.finish::<MR, NR, FUSED>(task.part, row * MR, column * NR, sum);
            }
        }
    }
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
            #[expect(clippy::needless_range_loop, reason = "an index of several matrices")]
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
