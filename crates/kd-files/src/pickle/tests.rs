use super::*;

fn parsed(bytes: &[u8]) -> Pickle<'_> {
    parse(bytes).unwrap()
}

fn root<'a>(pickle: &'a Pickle<'_>) -> &'a Value<'a> {
    pickle.value(pickle.root())
}

#[test]
fn numbers_are_what_python_says() {
    for (bytes, value) in [
        (&b"K\xff."[..], Value::Int(255)),
        (b"M\x01\x02.", Value::Int(0x201)),
        (b"J\xff\xff\xff\xff.", Value::Int(-1)),
        (b"\x8a\x00.", Value::Int(0)),
        (b"\x8a\x01\x80.", Value::Int(-128)),
        (b"\x8a\x02\x80\x00.", Value::Int(128)),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01.", Value::Other),
        (b"G\x3f\xf8\0\0\0\0\0\0.", Value::Float(1.5)),
        (b"\x88.", Value::Bool(true)),
        (b"N.", Value::Other),
    ] {
        assert_eq!(*root(&parsed(bytes)), value);
    }
}

#[test]
fn calls_are_kept_and_nothing_is_called() {
    // Beside the call stands what would be put into the result.
    let bytes = b"\x80\x02cos\nsystem\nX\x04\0\0\0halt\x85R}X\x01\0\0\0aK\x01sbX\x01\0\0\0kK\x02sK\x03a.after";
    let pickle = parsed(bytes);
    assert_eq!(pickle.length(), bytes.len() - 5);
    let Value::Record(record) = root(&pickle) else {
        panic!("{pickle:?}");
    };
    assert_eq!(pickle.called(record), Some(("os", "system")));
    let arguments = pickle.items(record.arguments);
    assert_eq!(pickle.text(arguments[0]), Some("halt"));
    let state = pickle.get(record.state.unwrap(), "a").unwrap();
    assert_eq!(pickle.count(state), Some(1));
    let entry = pickle.get(pickle.root(), "k").unwrap();
    assert_eq!(pickle.count(entry), Some(2));
    assert_eq!(pickle.count(pickle.items(pickle.root())[0]), Some(3));
}

#[test]
fn what_is_remembered_is_the_same_value() {
    // A list that holds itself, and twice the same text.
    let pickle = parsed(b"]q\0h\0aX\x01\0\0\0aq\x01ah\x01a.");
    let &[own, first, second] = pickle.items(pickle.root()) else {
        panic!("{pickle:?}");
    };
    assert_eq!((own, first), (pickle.root(), second));
    // Of two entries of a key the last one counts, as in Python.
    let pickle = parsed(b"}X\x01\0\0\0aK\x01sX\x01\0\0\0aK\x02s.");
    let entry = pickle.get(pickle.root(), "a").unwrap();
    assert_eq!(pickle.count(entry), Some(2));
}

#[test]
fn what_lies_outside_keeps_its_name() {
    let pickle = parsed(b"X\x01\0\0\x000Q.");
    let Value::Outside(name) = root(&pickle) else {
        panic!("{pickle:?}");
    };
    assert_eq!(pickle.text(*name), Some("0"));
}

#[test]
fn mistakes_say_where_they_are() {
    for (bytes, part) in [
        (&b"\x80\x06."[..], "byte 0 of the pickle: pickle protocol 6"),
        (
            b"K\x01",
            "byte 2 of the pickle: the pickle is truncated: it ends after 2 bytes",
        ),
        (b"K\x01a.", "stack is empty"),
        (b"(0.", "stack is empty"),
        (b"K\x01K\x02a.", "no list"),
        (b"K\x01K\x02K\x03s.", "no dictionary"),
        (b"K\x01K\x02b.", "a state for something that has none"),
        (b"t.", "a mark is missing"),
        (b"h\x07.", "memo 7 is not set"),
        (b"cos\nsystem", "a name has no end"),
        (b"X\xff\xff\xff\xffa.", "truncated"),
        (b"X\x01\0\0\0\xff.", "utf-8"),
        (b"K\x01K\x02\x93.", "no text"),
        (b"ios\nsystem\n.", "0x69 is refused"),
        (b"", "truncated"),
    ] {
        let error = parse(bytes).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
