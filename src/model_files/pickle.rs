//! Python's pickle, as far as a state dictionary of PyTorch goes, read without running anything.
//!
//! A pickle is a program: it names functions and calls them. This machine knows four functions by
//! name and does itself what they would do; a file that names any other is refused. Candle has a
//! reader too, but it passes over what it does not understand, so a file that is half read looks
//! like a whole one.

use std::collections::BTreeMap;

use super::error::clipped;
use super::weight_files::is_passed_over;
use super::{NumberType, Stored};

/// Values a pickle may make, and things it may memorise: room for ten thousands of tensors, which
/// take about twenty each.
const MOST_OBJECTS: usize = 1 << 20;

/// More dimensions than any tensor has.
const MOST_DIMENSIONS: usize = 64;

/// More arguments than any of the known functions takes.
const MOST_ARGUMENTS: usize = 16;

/// Storages are named by numbers; a name may be recalled by every tensor, so it must be short.
const LONGEST_STORAGE_NAME: usize = 255;

const TOO_MANY: &str = "the pickle makes more values than the largest model has; refused";

/// What a pickle builds. Values are numbered in the order they are made and refer to each other by
/// number, so that no file can make this program recurse.
#[derive(Debug, Clone)]
enum Object {
    Mark,
    None,
    Flag,
    Number,
    Whole(i64),
    Text(String),
    Tuple(Vec<usize>),
    List,
    Dictionary(Vec<(usize, usize)>),
    Function(Function),
    Storage {
        key: String,
        number_type: NumberType,
        count: u64,
    },
    Tensor(PickledTensor),
    /// The numbers of a tensor of 64-bit integers.
    IntegerStorage,
    /// A tensor of 64-bit integers, of which nothing is read.
    Integers,
}

/// The functions that may be named.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    OrderedDictionary,
    RebuildTensor,
    RebuildParameter,
    Storage(NumberType),
    IntegerStorage,
}

/// A tensor of a state dictionary; its numbers are in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PickledTensor {
    /// Name of the file with its numbers.
    pub(crate) storage: String,
    /// How many numbers that file must have.
    pub(crate) storage_count: u64,
    /// The tensor in it; the offset is in bytes from the start of that file.
    pub(crate) stored: Stored,
}

/// Reads a pickled dictionary from names to tensors.
///
/// # Errors
/// What is wrong, in words: a function that is not known, a value that is not a tensor, garbage.
pub(crate) fn read_state_dictionary(
    bytes: &[u8],
) -> Result<BTreeMap<String, PickledTensor>, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        objects: Vec::new(),
        stack: Vec::new(),
        memo: BTreeMap::new(),
    };
    let top = machine.run()?;
    let Object::Dictionary(pairs) = machine.object(top)? else {
        return Err("the file does not hold a dictionary of tensors".to_owned());
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in pairs {
        let Object::Text(name) = machine.object(*key)? else {
            return Err("a tensor's name is not a text".to_owned());
        };
        let tensor = match machine.object(*value)? {
            Object::Tensor(tensor) => tensor,
            Object::Integers if is_passed_over(name) => continue,
            Object::Integers => {
                return Err(format!(
                    "`{}` is a tensor of type `torch.LongStorage`; only those of floats are read",
                    clipped(name)
                ));
            }
            _ => return Err(format!("`{}` is not a tensor", clipped(name))),
        };
        if tensors.insert(name.clone(), tensor.clone()).is_some() {
            return Err(format!("`{}` is there twice", clipped(name)));
        }
    }
    Ok(tensors)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<usize>,
    memo: BTreeMap<u32, usize>,
}

const CUT: &str = "the pickle ends in the middle";
const EMPTY: &str = "the pickle takes from an empty stack";

impl Machine<'_> {
    /// Runs to the end and returns the result.
    fn run(&mut self) -> Result<usize, String> {
        loop {
            // Every operation makes at most one value.
            if self.objects.len() > MOST_OBJECTS || self.memo.len() > MOST_OBJECTS {
                return Err(TOO_MANY.to_owned());
            }
            let operation = self.byte()?;
            match operation {
                b'.' => return self.pop(),
                0x80 => {
                    let protocol = self.byte()?;
                    if protocol > 5 {
                        return Err(format!("pickle protocol {protocol} is not known"));
                    }
                }
                0x95 => {
                    self.take(8)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.function(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop_text()?, self.pop_text()?);
                    self.function(&module, &name)?;
                }
                b'q' => {
                    let id = self.byte()?;
                    self.memorise(u32::from(id))?;
                }
                b'r' => {
                    let id = self.number_u32()?;
                    self.memorise(id)?;
                }
                0x94 => self.memorise(self.memo.len() as u32)?,
                b'h' => {
                    let id = self.byte()?;
                    self.recall(u32::from(id))?;
                }
                b'j' => {
                    let id = self.number_u32()?;
                    self.recall(id)?;
                }
                b'(' => self.push(Object::Mark),
                b'N' => self.push(Object::None),
                0x88 | 0x89 => self.push(Object::Flag),
                b'G' => {
                    self.take(8)?;
                    self.push(Object::Number);
                }
                b'K' => {
                    let whole = self.byte()?;
                    self.push(Object::Whole(i64::from(whole)));
                }
                b'M' => {
                    let whole = self.array().map(u16::from_le_bytes)?;
                    self.push(Object::Whole(i64::from(whole)));
                }
                b'J' => {
                    let whole = self.array().map(i32::from_le_bytes)?;
                    self.push(Object::Whole(i64::from(whole)));
                }
                0x8a => {
                    let whole = self.long()?;
                    self.push(Object::Whole(whole));
                }
                b'X' => {
                    let length = self.number_u32()?;
                    self.text(length as usize)?;
                }
                0x8c => {
                    let length = self.byte()?;
                    self.text(usize::from(length))?;
                }
                b')' => self.push(Object::Tuple(Vec::new())),
                0x85..=0x87 => {
                    let count = usize::from(operation - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or(EMPTY)?;
                    let parts = self.stack.split_off(start);
                    self.push(Object::Tuple(parts));
                }
                b't' => {
                    let parts = self.pop_to_mark()?;
                    self.push(Object::Tuple(parts));
                }
                b']' => self.push(Object::List),
                b'}' => self.push(Object::Dictionary(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend_dictionary(&[key, value])?;
                }
                b'u' => {
                    let parts = self.pop_to_mark()?;
                    self.extend_dictionary(&parts)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                // Attributes of the dictionary (`_metadata`): nothing that a tensor depends on.
                b'b' => {
                    self.pop()?;
                    let target = *self.stack.last().ok_or(EMPTY)?;
                    if !matches!(self.object(target)?, Object::Dictionary(_)) {
                        return Err("the pickle sets the state of an object; refused".to_owned());
                    }
                }
                other => {
                    return Err(format!(
                        "the pickle uses operation 0x{other:02x} at byte {}, which a dictionary \
                         of tensors does not need; refused",
                        self.at - 1
                    ));
                }
            }
        }
    }

    fn function(&mut self, module: &str, name: &str) -> Result<(), String> {
        let function = match (module, name) {
            ("collections", "OrderedDict") => Function::OrderedDictionary,
            ("torch._utils", "_rebuild_tensor_v2") => Function::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Function::RebuildParameter,
            ("torch", "DoubleStorage") => Function::Storage(NumberType::F64),
            ("torch", "FloatStorage") => Function::Storage(NumberType::F32),
            ("torch", "HalfStorage") => Function::Storage(NumberType::F16),
            ("torch", "BFloat16Storage") => Function::Storage(NumberType::BF16),
            ("torch", "LongStorage") => Function::IntegerStorage,
            ("torch", other) if other.ends_with("Storage") => {
                return Err(format!(
                    "there are tensors of type `torch.{}`; only those of floats are read",
                    clipped(other)
                ));
            }
            _ => {
                return Err(format!(
                    "the file wants to run `{}.{}`; refused",
                    clipped(module),
                    clipped(name)
                ));
            }
        };
        self.push(Object::Function(function));
        Ok(())
    }

    /// `('storage', torch.FloatStorage, '0', 'cpu', 512)`: numbers in a file of their own.
    fn storage(&mut self) -> Result<(), String> {
        const WRONG: &str = "a reference to a tensor's numbers is not understood";
        let parts = self.pop_tuple()?;
        let [kind, class, key, _device, count] = parts[..] else {
            return Err(WRONG.to_owned());
        };
        let storage = match (
            self.object(kind)?,
            self.object(class)?,
            self.object(key)?,
            self.object(count)?,
        ) {
            (
                Object::Text(kind),
                Object::Function(Function::Storage(number_type)),
                Object::Text(key),
                Object::Whole(count),
            ) if kind == "storage" && key.len() <= LONGEST_STORAGE_NAME => Object::Storage {
                key: key.clone(),
                number_type: *number_type,
                count: u64::try_from(*count).map_err(|_| WRONG)?,
            },
            (Object::Text(kind), Object::Function(Function::IntegerStorage), ..)
                if kind == "storage" =>
            {
                Object::IntegerStorage
            }
            _ => return Err(WRONG.to_owned()),
        };
        self.push(storage);
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop_tuple()?;
        let callee = self.pop()?;
        let Object::Function(function) = self.object(callee)? else {
            return Err("the pickle calls what is not a function; refused".to_owned());
        };
        match function {
            Function::OrderedDictionary => {
                let empty = match arguments[..] {
                    [] => true,
                    [only] => matches!(self.object(only)?, Object::List),
                    _ => false,
                };
                if !empty {
                    return Err("a dictionary is built in a way that is not read".to_owned());
                }
                self.push(Object::Dictionary(Vec::new()));
            }
            Function::RebuildTensor => {
                let storage = arguments.first().map(|one| self.object(*one)).transpose()?;
                let tensor = match storage {
                    Some(Object::IntegerStorage) => Object::Integers,
                    _ => Object::Tensor(self.tensor(&arguments)?),
                };
                self.push(tensor);
            }
            Function::RebuildParameter => {
                let tensor = arguments.first().ok_or(EMPTY)?;
                if !matches!(self.object(*tensor)?, Object::Tensor(_) | Object::Integers) {
                    return Err("a parameter is not a tensor".to_owned());
                }
                self.stack.push(*tensor);
            }
            Function::Storage(_) | Function::IntegerStorage => {
                return Err("the pickle makes a storage itself; refused".to_owned());
            }
        }
        Ok(())
    }

    /// `(storage, offset, size, stride, requires_grad, hooks)`.
    fn tensor(&self, arguments: &[usize]) -> Result<PickledTensor, String> {
        const WRONG: &str = "a tensor is described in a way that is not understood";
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err(WRONG.to_owned());
        };
        let Object::Storage {
            key,
            number_type,
            count,
        } = self.object(*storage)?
        else {
            return Err(WRONG.to_owned());
        };
        let Object::Whole(offset) = self.object(*offset)? else {
            return Err(WRONG.to_owned());
        };
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        if shape.len() != strides.len() {
            return Err(WRONG.to_owned());
        }
        let mut stride = 1_usize;
        for (size, found) in shape.iter().zip(&strides).rev() {
            if *size > 1 && *found != stride {
                return Err(format!(
                    "a tensor of shape {shape:?} does not lie row by row (strides {strides:?})"
                ));
            }
            stride = stride.checked_mul(*size).ok_or(WRONG)?;
        }
        let offset = u64::try_from(*offset).map_err(|_| WRONG)?;
        let bytes = offset
            .checked_mul(number_type.block().1 as u64)
            .ok_or(WRONG)?;
        let stored = Stored {
            turned_heads: 0,
            number_type: *number_type,
            shape,
            offset: bytes,
        };
        let end = offset.checked_add(stride as u64).ok_or(WRONG)?;
        if end > *count || stored.size_bytes().is_none() {
            return Err(format!(
                "a tensor of {stride} numbers from number {offset} on does not fit its storage \
                 of {count}"
            ));
        }
        Ok(PickledTensor {
            storage: key.clone(),
            storage_count: *count,
            stored,
        })
    }

    fn sizes(&self, tuple: usize) -> Result<Vec<usize>, String> {
        let Object::Tuple(parts) = self.object(tuple)? else {
            return Err("a tensor's shape is not a tuple".to_owned());
        };
        let size = |part: &usize| match self.object(*part)? {
            Object::Whole(size) => usize::try_from(*size)
                .map_err(|_| format!("a tensor has {size} as a size or stride")),
            _ => Err("a tensor's size is not a whole number".to_owned()),
        };
        if parts.len() > MOST_DIMENSIONS {
            return Err(format!("a tensor has {} dimensions", parts.len()));
        }
        parts.iter().map(size).collect()
    }

    fn extend_dictionary(&mut self, parts: &[usize]) -> Result<(), String> {
        let target = *self.stack.last().ok_or(EMPTY)?;
        let (pairs, rest) = parts.as_chunks::<2>();
        match self.objects.get_mut(target) {
            Some(Object::Dictionary(all)) if rest.is_empty() => {
                all.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err("the pickle puts entries into what is not a dictionary".to_owned()),
        }
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<usize, String> {
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    fn object(&self, index: usize) -> Result<&Object, String> {
        self.objects.get(index).ok_or_else(|| EMPTY.to_owned())
    }

    fn pop_text(&mut self) -> Result<String, String> {
        let index = self.pop()?;
        match self.object(index)? {
            Object::Text(text) => Ok(text.clone()),
            _ => Err("the pickle names a function by what is not a text".to_owned()),
        }
    }

    fn pop_tuple(&mut self) -> Result<Vec<usize>, String> {
        let index = self.pop()?;
        match self.object(index)? {
            // One tuple may be an argument many times, and is copied each time.
            Object::Tuple(parts) if parts.len() > MOST_ARGUMENTS => Err(format!(
                "the pickle calls a function with {} arguments",
                parts.len()
            )),
            Object::Tuple(parts) => Ok(parts.clone()),
            _ => Err("the pickle calls a function without a tuple of arguments".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<usize>, String> {
        let is_mark = |index: &usize| matches!(self.objects.get(*index), Some(Object::Mark));
        let mark = self.stack.iter().rposition(is_mark).ok_or(EMPTY)?;
        let parts = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(parts)
    }

    fn memorise(&mut self, id: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(id, top);
        Ok(())
    }

    fn recall(&mut self, id: u32) -> Result<(), String> {
        let index = self
            .memo
            .get(&id)
            .ok_or("the pickle recalls what it did not memorise")?;
        self.stack.push(*index);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).ok_or(CUT)?;
        let taken = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| CUT.to_owned())
    }

    fn number_u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// A whole number of up to eight bytes.
    fn long(&mut self) -> Result<i64, String> {
        let count = usize::from(self.byte()?);
        let taken = self.take(count)?;
        if count > 8 {
            return Err(format!("a whole number of {count} bytes is too large"));
        }
        let negative = taken.last().is_some_and(|last| *last >= 0x80);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes[..count].copy_from_slice(taken);
        Ok(i64::from_le_bytes(bytes))
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.take(length)?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.bytes.get(self.at..).ok_or(CUT)?;
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(CUT)?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }
}
