//! The gradients of a loss, by variable: whole tensors, or only the rows of a table that were used.
//!
//! candle's own store holds one dense tensor a variable and adds to it by making zeros, a sum and
//! a new tensor: for a table of items of which a batch uses a few, that is most of a step's work,
//! and its elementwise sums of more than 64 K numbers keep a pool of threads spinning that all
//! trainings of the process wait for. Layers here therefore hand the gradients of their variables
//! to the [`Gradients`] that is being made on the thread; candle only carries what flows between
//! layers.

use std::cell::RefCell;

use candle_core::{Result, Tensor, TensorId};

use super::NnError;
use super::matrix::with_numbers;

thread_local! {
    /// Gradients handed over so far, while [`Gradients::of`] runs on this thread.
    static HANDED: RefCell<Option<Vec<(TensorId, Gradient)>>> = const { RefCell::new(None) };
}

/// No row of the gradient.
const NONE: u32 = u32::MAX;

/// The gradient of a table `[V, W]` that is zero outside some rows.
#[derive(Debug, Clone)]
pub struct RowGradient {
    width: usize,
    /// For each row of the table its place among `values`, or [`NONE`].
    places: Vec<u32>,
    values: Vec<f32>,
}

impl RowGradient {
    /// Of a table with this many rows of this width; all zero.
    #[must_use]
    pub fn new(rows: usize, width: usize) -> Self {
        Self {
            width,
            places: vec![NONE; rows],
            values: Vec::new(),
        }
    }

    /// Adds W numbers to a row; `false`, and nothing, if there is no such row.
    pub fn add(&mut self, row: usize, numbers: &[f32]) -> bool {
        let next = self.values.len() / self.width.max(1);
        let Some(place) = self.places.get_mut(row) else {
            return false;
        };
        if *place == NONE {
            *place = next as u32;
            self.values.extend_from_slice(numbers);
        } else {
            let begin = *place as usize * self.width;
            super::vector::add(&mut self.values[begin..begin + self.width], numbers);
        }
        true
    }

    /// Numbers in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The gradient of a row; `None` where it is zero.
    #[inline]
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        let place = *self.places.get(row)?;
        let begin = place as usize * self.width;
        (place != NONE).then(|| &self.values[begin..begin + self.width])
    }

    /// Adds all rows to a whole table.
    fn add_to(&self, table: &mut [f32]) {
        let rows = table.chunks_exact_mut(self.width.max(1)).enumerate();
        for (number, into) in rows {
            if let Some(row) = self.row(number) {
                super::vector::add(into, row);
            }
        }
    }
}

/// The gradient of one variable.
#[derive(Debug, Clone)]
pub enum Gradient {
    /// Of its shape.
    All(Tensor),
    /// Zero outside some rows.
    Rows(RowGradient),
}

impl Gradient {
    /// The sum of two gradients of one variable.
    fn plus(self, other: Self) -> Result<Self> {
        match (self, other) {
            (Self::All(one), Self::All(two)) => (one + two).map(Self::All),
            (Self::Rows(mut one), Self::Rows(two)) => {
                for number in 0..two.places.len() {
                    if let Some(row) = two.row(number) {
                        one.add(number, row);
                    }
                }
                Ok(Self::Rows(one))
            }
            (Self::All(all), Self::Rows(rows)) | (Self::Rows(rows), Self::All(all)) => {
                let mut numbers = with_numbers(&all, |numbers| Ok(numbers.to_vec()))?;
                rows.add_to(&mut numbers);
                Tensor::from_vec(numbers, all.shape(), all.device()).map(Self::All)
            }
        }
    }
}

/// Whether a [`Gradients`] is being made on this thread, so that [`hand_over`] may be called.
pub(super) fn wanted() -> bool {
    HANDED.with_borrow(Option::is_some)
}

/// Adds to the gradient of a variable. A layer that calls this returns no gradient for it to candle.
///
/// # Errors
/// If no [`Gradients`] is being made: the gradient would be lost.
pub(super) fn hand_over(variable: &Tensor, gradient: Gradient) -> Result<()> {
    HANDED.with_borrow_mut(|handed| {
        let Some(handed) = handed else {
            candle_core::bail!(
                "this layer hands its gradients to nn::Gradients: call Gradients::of(&loss) \
                 instead of loss.backward()"
            )
        };
        let id = variable.id();
        if let Some(at) = handed.iter().position(|(known, _)| *known == id) {
            let (_, before) = handed.swap_remove(at);
            handed.push((id, before.plus(gradient)?));
        } else {
            handed.push((id, gradient));
        }
        Ok(())
    })
}

/// Hands a variable's whole gradient over, or returns it for candle to carry: as a layer does for
/// an argument that may be a variable or the result of another layer.
pub(super) fn carry(argument: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    if argument.is_variable() && wanted() {
        hand_over(argument, Gradient::All(gradient))?;
        return Ok(None);
    }
    Ok(Some(gradient))
}

/// Gradients of all variables that a loss depends on.
#[derive(Debug)]
pub struct Gradients {
    by_variable: Vec<(TensorId, Gradient)>,
}

/// Ends the handing over even when the backward pass fails.
struct Handing;

impl Drop for Handing {
    fn drop(&mut self) {
        HANDED.set(None);
    }
}

impl Gradients {
    /// Goes backward from a loss.
    ///
    /// # Errors
    /// If an operation on the way fails.
    pub fn of(loss: &Tensor) -> std::result::Result<Self, NnError> {
        Self::backward(loss).map_err(NnError::at("backward"))
    }

    fn backward(loss: &Tensor) -> Result<Self> {
        HANDED.set(Some(Vec::new()));
        let handing = Handing;
        let carried = loss.backward()?;
        let mut by_variable = HANDED.take().unwrap_or_default();
        drop(handing);
        for id in carried.get_ids() {
            let Some(gradient) = carried.get_id(*id) else {
                continue;
            };
            let gradient = Gradient::All(gradient.clone());
            if let Some(at) = by_variable.iter().position(|(known, _)| known == id) {
                let (_, before) = by_variable.swap_remove(at);
                by_variable.push((*id, before.plus(gradient)?));
            } else {
                by_variable.push((*id, gradient));
            }
        }
        Ok(Self { by_variable })
    }

    /// The gradient of a variable as it was made; `None` if the loss does not depend on it.
    #[must_use]
    pub fn find(&self, variable: &Tensor) -> Option<&Gradient> {
        let id = variable.id();
        let found = self.by_variable.iter().find(|(known, _)| *known == id);
        found.map(|(_, gradient)| gradient)
    }

    /// The gradient of a variable as a tensor of its shape.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn get(&self, variable: &Tensor) -> std::result::Result<Option<Tensor>, NnError> {
        let rows = match self.find(variable) {
            None => return Ok(None),
            Some(Gradient::All(all)) => return Ok(Some(all.clone())),
            Some(Gradient::Rows(rows)) => rows,
        };
        let mut numbers = vec![0.0; variable.elem_count()];
        rows.add_to(&mut numbers);
        Tensor::from_vec(numbers, variable.shape(), variable.device())
            .map(Some)
            .map_err(NnError::at("gradient"))
    }
}
