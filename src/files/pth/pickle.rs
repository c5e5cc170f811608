//! A pickle machine that builds plain data and runs nothing: every class and function that is not
//! a dictionary, a tensor or a storage becomes [`Value::Opaque`].

/// Number of a value in the machine's arena; containers refer to their items by it.
pub(super) type Ref = usize;

/// A value of the subset.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Tuple(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    /// A class or function, as `module.name`.
    Global(String),
    Storage(Storage),
    Tensor(TensorView),
    /// None, numbers that cannot be a size, lists, objects: nothing that leads to a tensor.
    Opaque,
}

/// A block of values in the archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    /// PyTorch's class, e.g. `FloatStorage`.
    pub class: String,
    /// Name of the entry below `data/`.
    pub key: String,
    /// Number of values.
    pub len: usize,
}

/// A strided window on a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorView {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// What a pickle held.
pub(super) struct Unpickled {
    values: Vec<Value>,
    /// The outermost value.
    pub root: Ref,
}

impl Unpickled {
    /// The value of a reference.
    pub fn get(&self, at: Ref) -> &Value {
        &self.values[at]
    }
}

/// Runs the opcodes of protocols 0–4 that PyTorch writes. The error is a sentence.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled, String> {
    let mut machine = Machine { rest: bytes, ..Machine::default() };
    loop {
        let at = bytes.len() - machine.rest.len();
        match machine.step() {
            Ok(false) => {}
            Ok(true) => {
                let root = machine.pop()?;
                return Ok(Unpickled { values: machine.values, root });
            }
            Err(problem) => return Err(format!("pickle is broken at byte {at}: {problem}")),
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Ref>,
    marks: Vec<usize>,
    memo: std::collections::HashMap<u64, Ref>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// Runs one opcode; `true` after the last.
    fn step(&mut self) -> Step<bool> {
        match self.number::<1>()? as u8 {
            b'.' => return Ok(true),
            // Protocol and frame headers.
            0x80 => drop(self.number::<1>()?),
            0x95 => drop(self.number::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' | 0x88 | 0x89 => self.push(Value::Opaque),
            b'J' => {
                let value = self.number::<4>()? as u32 as i32;
                self.push(Value::Int(value.into()));
            }
            b'K' => self.int::<1>()?,
            b'M' => self.int::<2>()?,
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Opaque);
            }
            b'X' => self.text::<4>()?,
            0x8c => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            b'T' => self.text::<4>()?,
            b'U' => self.text::<1>()?,
            b'B' => self.blob::<4>()?,
            b'C' => self.blob::<1>()?,
            0x8e => self.blob::<8>()?,
            b']' | 0x8f => self.push(Value::Opaque),
            b'a' => drop(self.pop()?),
            b'e' | 0x90 => drop(self.pop_mark()?),
            b'l' | 0x91 => {
                self.pop_mark()?;
                self.push(Value::Opaque);
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            n @ 0x85..=0x87 => {
                let count = usize::from(n - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or("stack is empty")?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items));
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.set_items(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = format!("{}.{}", self.as_text(module)?, self.as_text(name)?);
                self.push(Value::Global(global));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(function, arguments)?;
                self.push(value);
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                self.pop()?;
                self.push(Value::Opaque);
            }
            // An object's state: attributes, which hold no tensor that is looked for.
            b'b' => drop(self.pop()?),
            b'q' => self.put::<1>()?,
            b'r' => self.put::<4>()?,
            0x94 => {
                let (key, top) = (self.memo.len() as u64, self.top()?);
                self.memo.insert(key, top);
            }
            b'h' => self.fetch::<1>()?,
            b'j' => self.fetch::<4>()?,
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage);
            }
            other => return Err(format!("opcode {other:#04x} is not one that PyTorch writes")),
        }
        Ok(false)
    }

    /// The value of calling a class or function.
    fn call(&self, function: Ref, arguments: Ref) -> Step<Value> {
        let (Value::Global(name), Value::Tuple(arguments)) =
            (&self.values[function], &self.values[arguments])
        else {
            return Ok(Value::Opaque);
        };
        Ok(match (name.as_str(), arguments.as_slice()) {
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", []) => {
                Value::Dict(Vec::new())
            }
            (
                "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
                &[tensor, ..],
            ) => self.values[tensor].clone(),
            ("torch.Size", &[sizes]) => self.values[sizes].clone(),
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                &[storage, offset, shape, strides, ..],
            ) => {
                let Value::Storage(storage) = &self.values[storage] else {
                    return Err("a tensor has no storage".to_owned());
                };
                Value::Tensor(TensorView {
                    storage: storage.clone(),
                    offset: self.as_size(offset)?,
                    shape: self.as_sizes(shape)?,
                    strides: self.as_sizes(strides)?,
                })
            }
            (other, _) if other.starts_with("torch._utils._rebuild") => {
                return Err(format!("tensors made by {other} are not supported"));
            }
            _ => Value::Opaque,
        })
    }

    /// `('storage', torch.FloatStorage, key, device, length)`.
    fn storage(&self, id: Ref) -> Step<Value> {
        let Value::Tuple(items) = &self.values[id] else {
            return Err("a storage has no description".to_owned());
        };
        let &[_, class, key, _, len] = items.as_slice() else {
            return Err("a storage's description has not five parts".to_owned());
        };
        let Value::Global(class) = &self.values[class] else {
            return Err("a storage has no type".to_owned());
        };
        let class = class.rsplit('.').next().unwrap_or_default().to_owned();
        let key = self.as_text(key)?.to_owned();
        Ok(Value::Storage(Storage { class, key, len: self.as_size(len)? }))
    }

    fn set_items(&mut self, items: &[Ref]) -> Step<()> {
        let top = self.top()?;
        if let Value::Dict(entries) = &mut self.values[top] {
            entries.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Step<Ref> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Step<Ref> {
        self.stack.last().copied().ok_or_else(|| "stack is empty".to_owned())
    }

    fn pop_mark(&mut self) -> Step<Vec<Ref>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("no mark on the stack")?))
    }

    fn put<const N: usize>(&mut self) -> Step<()> {
        let (key, top) = (self.number::<N>()?, self.top()?);
        self.memo.insert(key, top);
        Ok(())
    }

    fn fetch<const N: usize>(&mut self) -> Step<()> {
        let key = self.number::<N>()?;
        let value = *self.memo.get(&key).ok_or_else(|| format!("memo {key} is empty"))?;
        self.stack.push(value);
        Ok(())
    }

    fn int<const N: usize>(&mut self) -> Step<()> {
        let value = self.number::<N>()? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// A little-endian two's-complement integer of any length.
    fn long<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let value = wide.get_mut(..bytes.len()).map(|low| low.copy_from_slice(bytes));
        self.push(value.map_or(Value::Opaque, |()| Value::Int(i64::from_le_bytes(wide))));
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn blob<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        self.take(len)?;
        self.push(Value::Opaque);
        Ok(())
    }

    /// An unsigned little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Step<u64> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, len: u64) -> Step<&'a [u8]> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = split.ok_or_else(|| "it ends too early".to_owned())?;
        self.rest = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Step<String> {
        let end = self.rest.iter().position(|b| *b == b'\n').ok_or("it ends too early")?;
        let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    fn as_text(&self, at: Ref) -> Step<&str> {
        match &self.values[at] {
            Value::Text(text) => Ok(text),
            other => Err(format!("a name was expected, not {other:?}")),
        }
    }

    fn as_size(&self, at: Ref) -> Step<usize> {
        match &self.values[at] {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("{size} is no size")),
            other => Err(format!("a size was expected, not {other:?}")),
        }
    }

    fn as_sizes(&self, at: Ref) -> Step<Vec<usize>> {
        match &self.values[at] {
            Value::Tuple(items) => items.iter().map(|item| self.as_size(*item)).collect(),
            other => Err(format!("sizes were expected, not {other:?}")),
        }
    }
}
