//! Sequences of different lengths laid out without padding: step by step, longest first.

/// The order of rows and steps.
#[derive(Debug)]
pub(super) struct Plan {
    /// Rows of the batch, longest first.
    pub(super) order: Vec<usize>,
    /// For each step where it begins and how many rows are going.
    pub(super) steps: Vec<(usize, usize)>,
    /// Steps of all rows together.
    pub(super) total: usize,
}

impl Plan {
    /// For sequences of these lengths.
    pub(super) fn of(lengths: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
        let longest = order.first().map_or(0, |row| lengths[*row]);
        let mut total = 0;
        let steps = (0..longest)
            .map(|step| {
                let going = order.partition_point(|row| lengths[*row] > step);
                let begin = total;
                total += going;
                (begin, going)
            })
            .collect();
        Self {
            order,
            steps,
            total,
        }
    }

    /// For each place in the layout its index in `[B, T]`.
    pub(super) fn places(&self, time: usize) -> impl Iterator<Item = usize> {
        let steps = self.steps.iter().enumerate();
        steps.flat_map(move |(step, (_, going))| {
            self.order[..*going]
                .iter()
                .map(move |row| row * time + step)
        })
    }

    /// Numbers of a layout `[S, W]` at the places of a step.
    pub(super) fn range(&self, step: usize, width: usize) -> std::ops::Range<usize> {
        let (begin, going) = self.steps[step];
        begin * width..(begin + going) * width
    }

    /// Rows of `from [B, T, W]` in the order of the layout, `x [S, W]`.
    pub(super) fn lay_out(&self, x: &mut [f32], time: usize, from: &[f32], width: usize) {
        for (out, place) in x.chunks_exact_mut(width.max(1)).zip(self.places(time)) {
            out.copy_from_slice(&from[place * width..(place + 1) * width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_still_going_are_the_first_of_every_step() {
        let plan = Plan::of(&[2, 0, 3, 2]);
        assert_eq!(plan.order, [2, 0, 3, 1]);
        assert_eq!(plan.steps, [(0, 3), (3, 3), (6, 1)]);
        assert_eq!(plan.total, 7);
        // Row · 3 + step.
        let places: Vec<usize> = plan.places(3).collect();
        assert_eq!(places, [6, 0, 9, 7, 1, 10, 8]);
        assert_eq!(plan.range(1, 2), 6..12);
        let from: Vec<f32> = (0..12).map(|at| at as f32).collect();
        let mut x = vec![0.0; 7];
        plan.lay_out(&mut x, 3, &from, 1);
        assert_eq!(x, [6.0, 0.0, 9.0, 7.0, 1.0, 10.0, 8.0]);
        let none = Plan::of(&[0, 0]);
        assert_eq!((none.steps.len(), none.total), (0, 0));
    }
}
