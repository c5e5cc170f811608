//! A pickle machine that builds plain data and runs nothing: every class and function that is not
//! a dictionary, a tensor or a storage becomes [`Value::Opaque`].

/// Number of a value in the machine's arena; containers refer to their items by it, so that what a file
/// names a thousand times is held once.
pub(super) type Ref = u32;

/// The value of everything that leads to no tensor, and the empty tuple: one of each is enough.
const OPAQUE: Ref = 0;
const EMPTY: Ref = 1;

/// A value of the subset. Small: a byte of a pickle can ask for one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(Box<str>),
    Tuple(Box<[Ref]>),
    Dict(Vec<(Ref, Ref)>),
    /// A class or function, as `module.name`.
    Global(Box<str>),
    Storage(Storage),
    Tensor(View),
    /// A tensor that is made by this function, which is none of the usual ones.
    Foreign(Ref),
    /// None, numbers that cannot be a size, lists, objects: nothing that leads to a tensor.
    Opaque,
}

/// A block of values in the archive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    /// PyTorch's class, a [`Value::Global`] such as `torch.FloatStorage`.
    pub class: Ref,
    /// Name of the entry below `data/`, a [`Value::Text`].
    pub key: Ref,
    /// Number of values.
    pub len: usize,
}

/// A strided window on a storage: where its parts are described.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    storage: Ref,
    offset: Ref,
    shape: Ref,
    strides: Ref,
}

/// [`View`], looked up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorView<'a> {
    /// PyTorch's class of the storage, without its module.
    pub class: &'a str,
    /// Name of the entry below `data/`.
    pub key: &'a str,
    /// Number of values in the storage.
    pub storage_len: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// PyTorch's own limit on dimensions.
const MAX_DIMENSIONS: usize = 64;

/// What a pickle held.
pub(super) struct Unpickled {
    values: Vec<Value>,
    /// The outermost value.
    pub root: Ref,
}

impl Unpickled {
    /// The value of a reference.
    pub fn get(&self, at: Ref) -> &Value {
        &self.values[at as usize]
    }

    /// The text of a reference, if it is one.
    pub fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Value::Text(text) | Value::Global(text) => Some(text),
            _ => None,
        }
    }

    /// A tensor's parts.
    pub fn view(&self, view: View) -> Step<TensorView<'_>> {
        let Value::Storage(storage) = self.get(view.storage) else {
            return Err("a tensor has no storage".to_owned());
        };
        let class = self.text(storage.class).unwrap_or_default();
        Ok(TensorView {
            class: class.rsplit('.').next().unwrap_or_default(),
            key: self.text(storage.key).unwrap_or_default(),
            storage_len: storage.len,
            offset: as_size(self.get(view.offset))?,
            shape: self.sizes(view.shape)?,
            strides: self.sizes(view.strides)?,
        })
    }

    fn sizes(&self, at: Ref) -> Step<Vec<usize>> {
        match self.get(at) {
            Value::Tuple(items) if items.len() > MAX_DIMENSIONS => Err(format!(
                "a tensor of {} dimensions; at most {MAX_DIMENSIONS} exist",
                items.len()
            )),
            Value::Tuple(items) => items.iter().map(|item| as_size(self.get(*item))).collect(),
            _ => Err("a tensor's sizes are no tuple".to_owned()),
        }
    }
}

fn as_size(value: &Value) -> Step<usize> {
    match value {
        Value::Int(size) => usize::try_from(*size).map_err(|_| format!("{size} is no size")),
        _ => Err("a size is no number".to_owned()),
    }
}

/// Runs the opcodes of protocols 0–5 that PyTorch writes.
pub(super) fn unpickle(bytes: &[u8]) -> Step<Unpickled> {
    let values = vec![Value::Opaque, Value::Tuple(Box::default())];
    let mut machine = Machine { rest: bytes, values, ..Machine::default() };
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

/// The error is a sentence.
pub(super) type Step<T> = Result<T, String>;

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
            b'N' | 0x88 | 0x89 => self.stack.push(OPAQUE),
            b'J' => {
                let value = self.number::<4>()? as u32 as i32;
                self.push(Value::Int(value.into()))?;
            }
            b'K' => self.int::<1>()?,
            b'M' => self.int::<2>()?,
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'G' => {
                self.take(8)?;
                self.stack.push(OPAQUE);
            }
            b'X' => self.text::<4>()?,
            0x8c => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            b'T' => self.text::<4>()?,
            b'U' => self.text::<1>()?,
            b'B' => self.blob::<4>()?,
            b'C' => self.blob::<1>()?,
            0x8e | 0x96 => self.blob::<8>()?,
            b']' | 0x8f => self.stack.push(OPAQUE),
            b'a' => drop(self.pop()?),
            b'e' | 0x90 => drop(self.pop_mark()?),
            b'l' | 0x91 => {
                self.pop_mark()?;
                self.stack.push(OPAQUE);
            }
            b')' => self.stack.push(EMPTY),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items.into()))?;
            }
            n @ 0x85..=0x87 => {
                let count = usize::from(n - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or("stack is empty")?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items.into()))?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()))?;
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
                let global = global(&module, &name);
                self.push(global)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = global(self.as_text(module)?, self.as_text(name)?);
                self.push(global)?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                self.pop()?;
                self.stack.push(OPAQUE);
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
                self.push(storage)?;
            }
            other => return Err(format!("opcode {other:#04x} is not one that PyTorch writes")),
        }
        Ok(false)
    }

    /// Pushes the value of calling a class or function.
    fn call(&mut self, function: Ref, arguments: Ref) -> Step<()> {
        let (Value::Global(name), Value::Tuple(arguments)) =
            (self.get(function), self.get(arguments))
        else {
            self.stack.push(OPAQUE);
            return Ok(());
        };
        let value = match (&**name, &**arguments) {
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", []) => {
                Value::Dict(Vec::new())
            }
            // What they wrap, itself.
            (
                "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
                &[inner, ..],
            )
            | ("torch.Size", &[inner]) => {
                self.stack.push(inner);
                return Ok(());
            }
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                &[storage, offset, shape, strides, ..],
            ) => Value::Tensor(View { storage, offset, shape, strides }),
            (other, _) if other.starts_with("torch._utils._rebuild") => Value::Foreign(function),
            _ => {
                self.stack.push(OPAQUE);
                return Ok(());
            }
        };
        self.push(value)
    }

    /// `('storage', torch.FloatStorage, key, device, length)`.
    fn storage(&self, id: Ref) -> Step<Value> {
        let Value::Tuple(items) = self.get(id) else {
            return Err("a storage has no description".to_owned());
        };
        let &[_, class, key, _, len] = &**items else {
            return Err("a storage's description has not five parts".to_owned());
        };
        let Value::Global(_) = self.get(class) else {
            return Err("a storage has no type".to_owned());
        };
        self.as_text(key)?;
        Ok(Value::Storage(Storage { class, key, len: as_size(self.get(len))? }))
    }

    fn set_items(&mut self, items: &[Ref]) -> Step<()> {
        let top = self.top()?;
        if let Value::Dict(entries) = &mut self.values[top as usize] {
            entries.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    fn get(&self, at: Ref) -> &Value {
        &self.values[at as usize]
    }

    fn push(&mut self, value: Value) -> Step<()> {
        let at = Ref::try_from(self.values.len()).map_err(|_| "it holds too many values")?;
        self.stack.push(at);
        self.values.push(value);
        Ok(())
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
        self.push(Value::Int(value))
    }

    /// A little-endian two's-complement integer of any length.
    fn long<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let value = wide.get_mut(..bytes.len()).map(|low| low.copy_from_slice(bytes));
        match value {
            Some(()) => self.push(Value::Int(i64::from_le_bytes(wide)))?,
            None => self.stack.push(OPAQUE),
        }
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        let text = String::from_utf8_lossy(self.take(len)?).into();
        self.push(Value::Text(text))
    }

    fn blob<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        self.take(len)?;
        self.stack.push(OPAQUE);
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
        match self.get(at) {
            Value::Text(text) => Ok(text),
            _ => Err("a name is no text".to_owned()),
        }
    }
}

/// A class or function. The known ones have short names; a longer one, which a few bytes could ask for again and
/// again, is nothing that is looked for.
fn global(module: &str, name: &str) -> Value {
    const LONGEST: usize = 96;
    match module.len() + name.len() {
        0..LONGEST => Value::Global(format!("{module}.{name}").into()),
        _ => Value::Opaque,
    }
}
