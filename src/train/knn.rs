//! Nearest neighbours in feature space: how good features are without training anything on them.

use rayon::prelude::*;

use super::features::Features;

/// How neighbours vote.
#[derive(Debug, Clone, Copy)]
pub struct Vote {
    /// Number of neighbours.
    pub neighbours: usize,
    /// A neighbour of cosine similarity s counts `exp(s / temperature)`, as in Wu et al. 2018,
    /// "Unsupervised Feature Learning via Non-Parametric Instance Discrimination".
    pub temperature: f32,
}

/// For each of `queries` the classes of its nearest neighbours among `known`, whose classes are `labels`
/// (below `classes`), best first: only those that got a vote.
///
/// # Panics
/// If there is not one label for each known feature.
pub fn rank_classes(
    known: &Features,
    labels: &[usize],
    classes: usize,
    queries: &Features,
    vote: Vote,
) -> Vec<Vec<usize>> {
    assert_eq!(known.rows().len(), labels.len(), "one label for each feature");
    let unit = normalised(known);
    let queries = normalised(queries);
    let rank = |query: &[f32]| {
        let similarity = |row: &[f32]| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let mut nearest: Vec<(f32, usize)> =
            unit.chunks_exact(known.dim).map(similarity).zip(labels.iter().copied()).collect();
        let count = vote.neighbours.min(nearest.len());
        // A stable order whatever the values: ties by place.
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut votes = vec![0.0_f64; classes];
        let best = nearest.first().map_or(0.0, |&(similarity, _)| similarity);
        for &(similarity, label) in &nearest[..count] {
            // Relative to the nearest, so that no exponential overflows.
            votes[label] += f64::from((similarity - best) / vote.temperature).exp();
        }
        let mut ranked: Vec<usize> = (0..classes).filter(|&class| votes[class] > 0.0).collect();
        ranked.sort_by(|&a, &b| votes[b].total_cmp(&votes[a]));
        ranked
    };
    queries.par_chunks_exact(known.dim).map(rank).collect()
}

/// `[N, D]`, each row of length 1; rows of zeros stay so.
fn normalised(features: &Features) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        row.iter().map(|x| x * scale).collect::<Vec<f32>>()
    };
    features.rows().flat_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: &[[f32; 2]]) -> Features {
        Features { dim: 2, values: rows.concat(), ..Features::default() }
    }

    #[test]
    fn near_directions_win_whatever_their_length() {
        let known = features(&[[1.0, 0.0], [9.0, 1.0], [0.0, 0.1], [0.1, 3.0]]);
        let queries = features(&[[0.01, 0.001], [1.0, 30.0]]);
        let vote = Vote { neighbours: 2, temperature: 0.1 };
        let ranked = rank_classes(&known, &[0, 0, 1, 1], 3, &queries, vote);
        assert_eq!(ranked, [vec![0], vec![1]]);
    }

    #[test]
    fn a_close_neighbour_outweighs_two_far_ones() {
        let known = features(&[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        let queries = features(&[[1.0, 0.5]]);
        let sharp = Vote { neighbours: 3, temperature: 0.07 };
        assert_eq!(rank_classes(&known, &[1, 0, 0], 2, &queries, sharp), [[1, 0]]);
        let blunt = Vote { neighbours: 3, temperature: 100.0 };
        assert_eq!(rank_classes(&known, &[1, 0, 0], 2, &queries, blunt), [[0, 1]]);
    }
}
