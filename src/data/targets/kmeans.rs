//! Groups of similar patches: a codebook that turns each into the number of its nearest centre.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Names the draws of the first centres.
const STREAM: u32 = 0xC0DE;

/// Lloyd iterations at most.
const ROUNDS: usize = 25;

/// V centres of P values each.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    /// P, the length of a row.
    pub dim: usize,
    /// `[V, P]`.
    pub centres: Vec<f32>,
}

impl Codebook {
    /// `clusters` (V) centres for `rows` `[N, P]` with P = `dim`: started by k-means++ (Arthur and
    /// Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding") with draws from `seed`,
    /// then moved by Lloyd iterations until no row changes its centre or 25 rounds are done. A
    /// centre that loses all its rows takes the row that lies farthest from its own. The same rows
    /// and seed give the same bits, whatever the number of threads.
    ///
    /// # Errors
    /// [`Error::Config`] if `clusters` is 0 or above the number of **different** rows (duplicates
    /// count once: two centres in one place would be one), or a value is not finite.
    ///
    /// # Panics
    /// If `dim` is 0 or `rows` are not whole.
    pub fn fit(rows: &[f32], dim: usize, clusters: usize, seed: u64) -> Result<Self> {
        let mut book = Self::start(rows, dim, clusters, seed)?;
        let mut assigned = Vec::new();
        for _ in 0..ROUNDS {
            if !book.step(rows, &mut assigned) {
                break;
            }
        }
        Ok(book)
    }

    /// The number of the centre nearest to `row` `[P]`: the lowest of equally near ones.
    ///
    /// # Panics
    /// If `row` has not P values.
    pub fn nearest(&self, row: &[f32]) -> u32 {
        assert_eq!(row.len(), self.dim, "a row has {} values", self.dim);
        self.nearest_by(&self.half_norms(), row)
    }

    /// [`Codebook::nearest`] of each of `rows` `[N, P]`, in parallel. The centres' norms are
    /// computed once.
    ///
    /// # Panics
    /// If `rows` are not whole.
    pub fn assign(&self, rows: &[f32]) -> Vec<u32> {
        assert!(rows.len().is_multiple_of(self.dim), "whole rows of {} values", self.dim);
        let half_norms = self.half_norms();
        rows.par_chunks_exact(self.dim).map(|row| self.nearest_by(&half_norms, row)).collect()
    }

    /// k-means++: the first centre is any row, each further one a row drawn with a chance in
    /// proportion to its squared distance from the nearest centre so far.
    fn start(rows: &[f32], dim: usize, clusters: usize, seed: u64) -> Result<Self> {
        let count = rows.len() / dim;
        assert_eq!(rows.len(), count * dim, "whole rows of {dim} values");
        if clusters == 0 || clusters > count {
            return Err(wrong_clusters(clusters, count));
        }
        if !rows.iter().all(|x| x.is_finite()) {
            return Err(Error::config(
                Setting::Data,
                "clusters need finite values, got NaN or infinity",
            ));
        }
        let mut rng = Rng::new(seed, [STREAM, 0, 0]);
        let mut book = Self { dim, centres: Vec::with_capacity(clusters * dim) };
        let mut distances = vec![f32::INFINITY; count];
        let mut chosen = rng.below(count as u32) as usize;
        for found in 1..=clusters {
            let centre = &rows[chosen * dim..][..dim];
            book.centres.extend_from_slice(centre);
            if found == clusters {
                break;
            }
            let pairs = distances.par_iter_mut().zip(rows.par_chunks_exact(dim));
            pairs.for_each(|(least, row)| *least = least.min(squared_distance(row, centre)));
            let sums = || {
                distances.iter().scan(0.0, |sum, &distance| {
                    *sum += f64::from(distance);
                    Some(*sum)
                })
            };
            // Below the last sum; the first sum above it belongs to a row off every centre.
            let draw = f64::from(rng.next_u32()) / 2_f64.powi(32) * sums().last().unwrap_or(0.0);
            chosen = match sums().position(|sum| sum > draw) {
                Some(row) => row,
                None => return Err(wrong_clusters(clusters, found)),
            };
        }
        Ok(book)
    }

    /// One Lloyd iteration: the centre of each row anew, then each centre as the mean of its rows.
    /// Nothing is done, and false comes back, if every row keeps the centre it has in `assigned`.
    fn step(&mut self, rows: &[f32], assigned: &mut Vec<u32>) -> bool {
        let mut next = self.assign(rows);
        self.fill_empty(rows, &mut next);
        if next == *assigned {
            return false;
        }
        let clusters = self.centres.len() / self.dim;
        let (mut sums, mut counts) = (vec![0.0; self.centres.len()], vec![0_u32; clusters]);
        for (row, &cluster) in rows.chunks_exact(self.dim).zip(&next) {
            let cluster = cluster as usize;
            counts[cluster] += 1;
            let sums = &mut sums[cluster * self.dim..][..self.dim];
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let means = sums.chunks_exact(self.dim).zip(counts);
        let means = means.flat_map(|(sums, count)| sums.iter().map(move |x| x / f64::from(count)));
        self.centres = means.map(|x| x as f32).collect();
        *assigned = next;
        true
    }

    /// Gives each centre without rows in `assigned` the row farthest from its centre, the first of
    /// equally far ones, among those that do not have theirs to themselves.
    fn fill_empty(&self, rows: &[f32], assigned: &mut [u32]) {
        let mut counts = vec![0_u32; self.centres.len() / self.dim];
        assigned.iter().for_each(|&cluster| counts[cluster as usize] += 1);
        for empty in 0..counts.len() {
            if counts[empty] > 0 {
                continue;
            }
            let mut farthest = (-1.0, 0);
            for (index, row) in rows.chunks_exact(self.dim).enumerate() {
                let cluster = assigned[index];
                let distance = squared_distance(row, self.centre(cluster));
                if counts[cluster as usize] > 1 && distance > farthest.0 {
                    farthest = (distance, index);
                }
            }
            let (_, index) = farthest;
            counts[assigned[index] as usize] -= 1;
            counts[empty] = 1;
            assigned[index] = empty as u32;
        }
    }

    fn centre(&self, cluster: u32) -> &[f32] {
        &self.centres[cluster as usize * self.dim..][..self.dim]
    }

    /// ‖c‖² / 2 of each centre.
    fn half_norms(&self) -> Vec<f32> {
        self.centres.chunks_exact(self.dim).map(|centre| 0.5 * dot(centre, centre)).collect()
    }

    /// The centre c with the least ‖c‖² / 2 − x·c, which is half of ‖x − c‖² − ‖x‖².
    fn nearest_by(&self, half_norms: &[f32], row: &[f32]) -> u32 {
        let mut best = (f32::INFINITY, 0);
        let centres = self.centres.chunks_exact(self.dim).zip(half_norms);
        for (index, (centre, half_norm)) in centres.enumerate() {
            let score = half_norm - dot(row, centre);
            if score < best.0 {
                best = (score, index as u32);
            }
        }
        best.1
    }
}

/// The error about `clusters` when at most `different` rows are.
fn wrong_clusters(clusters: usize, different: usize) -> Error {
    let problem = format!(
        "must be at least 1 and at most the number of different patches; there are no more than \
         {different}, got {clusters}; ask for fewer or give more pictures"
    );
    Error::config(Setting::TargetVocabulary, problem)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, b, |a, b| a * b)
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, b, |a, b| (a - b) * (a - b))
}

/// Sum of `term` over the pairs of `a` and `b` in an order of its own, fixed and the same on every
/// processor: eight sums side by side, which compilers turn into vector instructions.
fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(&a, &b)| term(a, b)).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` rows around each of `centres` `[V, P]`, in turn: `[count · V, P]`.
    fn blobs(centres: &[f32], count: usize, deviation: f32) -> Vec<f32> {
        let mut rng = Rng::new(11, [0; 3]);
        let rows = std::iter::repeat_n(centres, count).flatten();
        rows.map(|x| x + deviation * rng.normal()).collect()
    }

    /// Rows without any structure.
    fn noise(count: usize, dim: usize) -> Vec<f32> {
        blobs(&vec![0.0; dim], count, 1.0)
    }

    fn inertia(book: &Codebook, rows: &[f32], assigned: &[u32]) -> f64 {
        let pairs = rows.chunks_exact(book.dim).zip(assigned);
        pairs.map(|(row, &cluster)| f64::from(squared_distance(row, book.centre(cluster)))).sum()
    }

    #[test]
    fn separated_blobs_are_recovered() {
        let dim = 11;
        // The origin and five corners of a simplex: far apart against the blobs' deviation.
        let mut centres = vec![0.0; 6 * dim];
        (1..6).for_each(|cluster| centres[cluster * dim + 2 * cluster] = 4.0);
        let rows = blobs(&centres, 200, 0.1);
        for seed in 0..8 {
            let book = Codebook::fit(&rows, dim, 6, seed).unwrap();
            let assigned = book.assign(&rows);
            let mut found = assigned[..6].to_vec();
            // Row i comes from blob i mod 6.
            assert!(assigned.chunks_exact(6).all(|group| group == found), "seed {seed}");
            for (blob, &cluster) in found.iter().enumerate() {
                let truth = &centres[blob * dim..][..dim];
                let off = squared_distance(book.centre(cluster), truth);
                assert!(off < 0.01, "seed {seed}: {off}");
                assert_eq!(book.nearest(truth), cluster);
            }
            found.sort_unstable();
            assert_eq!(found, [0, 1, 2, 3, 4, 5], "seed {seed}");
        }
    }

    #[test]
    fn inertia_never_rises() {
        let rows = noise(800, 5);
        let mut book = Codebook::start(&rows, 5, 20, 3).unwrap();
        let mut assigned = Vec::new();
        let mut inertias = vec![inertia(&book, &rows, &book.assign(&rows))];
        while book.step(&rows, &mut assigned) {
            inertias.push(inertia(&book, &rows, &assigned));
            inertias.push(inertia(&book, &rows, &book.assign(&rows)));
        }
        assert!(inertias.len() > 10 && inertias.is_sorted_by(|a, b| *b <= a * (1.0 + 1e-6)));
        assert!(inertias.last() < Some(&(0.9 * inertias[0])), "{inertias:?}");
        // At rest every centre is the mean of the rows that are nearest to it.
        assert_eq!(book.assign(&rows), assigned);
    }

    #[test]
    fn a_seed_gives_the_same_bits_on_any_number_of_threads() {
        let rows = noise(700, 21);
        let fit = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let book = pool.install(|| Codebook::fit(&rows, 21, 30, seed)).unwrap();
            book.centres.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let first = fit(1, 4);
        assert_eq!(fit(1, 4), first);
        assert_eq!(fit(2, 4), first);
        assert_eq!(fit(5, 4), first);
        assert_ne!(fit(1, 5), first);
    }

    #[test]
    fn nearest_is_the_least_distance_and_the_lowest_of_equals() {
        let book = Codebook { dim: 10, centres: noise(40, 10) };
        let rows = noise(300, 10);
        let assigned = book.assign(&rows);
        for (row, &cluster) in rows.chunks_exact(10).zip(&assigned) {
            let distance = |centre: &[f32]| {
                row.iter().zip(centre).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
            };
            let distances: Vec<f64> = book.centres.chunks_exact(10).map(distance).collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(distances[cluster as usize] < least + 1e-5);
            assert_eq!(book.nearest(row), cluster);
        }
        let even = Codebook { dim: 2, centres: vec![9.0, 0.0, 1.0, 0.0, -1.0, 0.0, 1.0, 0.0] };
        assert_eq!(even.assign(&[0.0, 5.0, 1.0, 0.0, -2.0, 0.0]), [1, 1, 2]);
    }

    #[test]
    fn an_empty_cluster_takes_the_farthest_row() {
        // No row is nearest to centre 1; row 3 is farthest from its centre, which has no other.
        let rows = [0.0, 1.0, 4.0, 20.0];
        let mut book = Codebook { dim: 1, centres: vec![0.0, -50.0, 30.0] };
        let mut assigned = Vec::new();
        assert!(book.step(&rows, &mut assigned));
        assert_eq!(assigned, [0, 0, 1, 2]);
        assert_eq!(book.centres, [0.5, 4.0, 20.0]);
        assert!(!book.step(&rows, &mut assigned));
    }

    #[test]
    fn as_many_clusters_as_different_rows() {
        let rows = [3.0, 0.0, 1.0, 1.0, 3.0, 0.0, 2.0, 5.0, 1.0, 1.0];
        let book = Codebook::fit(&rows, 2, 3, 0).unwrap();
        let mut centres: Vec<_> = book.centres.as_chunks::<2>().0.to_vec();
        centres.sort_by(|a, b| a[0].total_cmp(&b[0]));
        assert_eq!(centres, [[1.0, 1.0], [2.0, 5.0], [3.0, 0.0]]);
        let problem =
            |clusters, rows: &[f32]| Codebook::fit(rows, 2, clusters, 0).unwrap_err().to_string();
        assert!(problem(4, &rows).contains("no more than 3, got 4"));
        assert!(problem(6, &rows).starts_with("target.vocabulary: "));
        assert!(problem(0, &rows).contains("at least 1"));
        assert!(problem(1, &[]).contains("got 1"));
        assert!(problem(1, &[0.0, f32::INFINITY]).contains("finite"));
    }
}
