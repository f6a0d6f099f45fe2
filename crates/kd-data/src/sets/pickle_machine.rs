//! The instructions of a pickle that are understood (see [`super::pickle`]).

use std::borrow::Cow;
use std::collections::HashMap;

use super::pickle::{Array, Callable, Id, Node};

/// The stack machine of a pickle.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Bytes that `_codecs.encode` has made.
    encoded: usize,
}

impl<'a> Machine<'a> {
    /// Executes a whole pickle; returns all values and the outermost one's place.
    pub(super) fn run(bytes: &'a [u8]) -> Result<(Vec<Node<'a>>, Id), String> {
        let mut machine = Self {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            encoded: 0,
        };
        loop {
            let start = machine.at;
            let located = |problem| {
                format!(
                    "byte {start} of the pickle: {problem}; the file is damaged or no CIFAR batch"
                )
            };
            let code = machine.take(1).map_err(located)?[0];
            if code == b'.' {
                let root = machine.pop().map_err(located)?;
                return Ok((machine.nodes, root));
            }
            machine.step(code).map_err(located)?;
        }
    }

    /// Executes one instruction (names as in Python's `pickletools`).
    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            0x80 => match self.take(1)?[0] {
                0..=5 => {}
                version => return Err(format!("pickle protocol {version}")),
            },
            // FRAME: a hint of the length.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            // Containers.
            b'}' => self.push(Node::Dict(Vec::new())),
            b']' | b')' => self.push(Node::List(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(items)?;
            }
            // Atoms.
            b'N' | 0x88 | 0x89 => self.push(match code {
                0x88 => Node::Int(1),
                0x89 => Node::Int(0),
                _ => Node::Other,
            }),
            b'G' => {
                self.take(8)?;
                self.push(Node::Other);
            }
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => self.integer(4)?,
            b'U' | b'C' => self.byte_string(1)?,
            b'T' | b'B' => self.byte_string(4)?,
            0x8e => self.byte_string(8)?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            // The memo.
            b'q' => self.remember_at(1)?,
            b'r' => self.remember_at(4)?,
            0x94 => self.remember(self.memo.len())?,
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            // Names and calls.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.name(module, name)?;
            }
            b'R' => self.call()?,
            b'b' => self.build()?,
            other => return Err(format!("instruction {other:#04x} is refused")),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| {
            format!(
                "the pickle is truncated: it ends after {} bytes",
                self.bytes.len()
            )
        })?;
        self.at += count;
        Ok(taken)
    }

    fn unsigned(&mut self, width: usize) -> Result<usize, String> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|&b| b == b'\n')
            .ok_or("a name has no end")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|error| error.to_string())
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => Err("the pickle's stack is empty".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| "the pickle's stack is empty".into())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .ok_or("the pickle's stack is empty")?;
        let items = self.stack.split_off(start);
        self.push(Node::List(items));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::List(list) => list.extend(items),
            _ => return Err("items for something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Dict(entries) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("entries for something that is no dictionary".into()),
        }
        Ok(())
    }

    fn integer(&mut self, width: usize) -> Result<(), String> {
        let value = self.unsigned(width)? as u32;
        // Only the widest of the three is signed.
        self.push(Node::Int(if width == 4 {
            i64::from(value as i32)
        } else {
            i64::from(value)
        }));
        Ok(())
    }

    fn byte_string(&mut self, width: usize) -> Result<(), String> {
        let length = self.unsigned(width)?;
        let bytes = self.take(length)?;
        self.push(Node::Bytes(Cow::Borrowed(bytes)));
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<(), String> {
        let length = self.unsigned(width)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        self.push(Node::Text(text));
        Ok(())
    }

    fn pop_text(&mut self) -> Result<&'a str, String> {
        let id = self.pop()?;
        match self.nodes[id] {
            Node::Text(text) => Ok(text),
            _ => Err("a name that is no text".into()),
        }
    }

    fn remember_at(&mut self, width: usize) -> Result<(), String> {
        let place = self.unsigned(width)?;
        self.remember(place)
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Result<(), String> {
        let place = self.unsigned(width)?;
        let id = self
            .memo
            .get(&place)
            .ok_or_else(|| format!("memo {place} is not set"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let callable = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Callable::Reconstruct
            }
            ("numpy", "ndarray") => Callable::Ndarray,
            ("numpy", "dtype") => Callable::Dtype,
            ("_codecs", "encode") => Callable::Encode,
            _ => {
                return Err(format!(
                    "it wants to use `{module}.{name}`, which is refused"
                ));
            }
        };
        self.push(Node::Call(callable));
        Ok(())
    }

    fn items(&self, id: Id) -> &[Id] {
        match &self.nodes[id] {
            Node::List(items) => items,
            _ => &[],
        }
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Node::Call(callable) = self.nodes[callable] else {
            return Err("a call of something that cannot be called".into());
        };
        let first = self.items(arguments).first().map(|&id| &self.nodes[id]);
        let result = match (callable, first) {
            (Callable::Reconstruct, Some(Node::Call(Callable::Ndarray))) => Node::Array(None),
            (Callable::Dtype, Some(Node::Text(name))) => Node::Dtype(short(name.as_bytes())),
            (Callable::Dtype, Some(Node::Bytes(name))) => Node::Dtype(short(name)),
            (Callable::Encode, Some(Node::Text(text))) => {
                // A text is encoded once; encoding one again and again would fill the memory.
                self.encoded += text.len();
                if self.encoded > self.bytes.len() {
                    return Err("more bytes than the file holds".into());
                }
                Node::Bytes(Cow::Owned(latin1(text)?))
            }
            _ => return Err("a call with arguments that NumPy would not write".into()),
        };
        self.push(result);
        Ok(())
    }

    /// Fills an array; a dtype's state (its byte order) changes nothing for bytes.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.nodes[target] {
            Node::Dtype(_) => Ok(()),
            Node::Array(_) => {
                let [_, shape, dtype, fortran, data] = *self.items(state) else {
                    return Err("an array's state that NumPy would not write".into());
                };
                let extent = |&id: &Id| match self.nodes[id] {
                    Node::Int(extent) => usize::try_from(extent).ok(),
                    _ => None,
                };
                let shape: Option<Vec<usize>> = self.items(shape).iter().map(extent).collect();
                self.nodes[target] = Node::Array(Some(Array {
                    shape: shape.ok_or("an array's shape that is not made of numbers")?,
                    dtype,
                    fortran: matches!(self.nodes[fortran], Node::Int(1)),
                    data,
                }));
                Ok(())
            }
            _ => Err("a state for something that has none".into()),
        }
    }
}

/// The name of an element type; real ones have two or three letters.
fn short(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(16)]).into_owned()
}

fn latin1(text: &str) -> Result<Vec<u8>, String> {
    let byte = |c: char| u8::try_from(c).map_err(|_| "bytes that are no Latin-1".to_string());
    text.chars().map(byte).collect()
}
