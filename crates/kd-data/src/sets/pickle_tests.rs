use super::*;

/// Written by Python 3 with NumPy: 2 rows of 3,072 bytes `(31 * i + 7) % 256`, labels [3, -1].
const PROTOCOL_2: &[u8] = include_bytes!("../../tests/fixtures/protocol2.pickle");
const PROTOCOL_4: &[u8] = include_bytes!("../../tests/fixtures/protocol4.pickle");

#[test]
fn pickles_of_python_3_are_read() {
    let content: Vec<u8> = (0..6144u32).map(|i| (31 * i + 7) as u8).collect();
    for bytes in [PROTOCOL_2, PROTOCOL_4] {
        let pickle = parse(bytes).unwrap();
        let (shape, data) = pickle.bytes_array("data").unwrap();
        assert_eq!((&shape[..], &data[..]), (&[2, 3072][..], &content[..]));
        assert_eq!(pickle.integers("labels").unwrap(), [3, -1]);
        assert_eq!(pickle.texts("label_names").unwrap(), ["cat", "dog"]);
        assert!(pickle.integers("data").unwrap_err().contains("no list"));
        assert!(
            pickle
                .bytes_array("labels")
                .unwrap_err()
                .contains("no NumPy array")
        );
        assert!(pickle.texts("labels").unwrap_err().contains("no string"));
        assert!(pickle.texts("absent").unwrap_err().contains("no `absent`"));
    }
}

#[test]
fn nothing_is_ever_executed() {
    for (bytes, part) in [
        (
            &b"\x80\x02cos\nsystem\n(U\x04haltt."[..],
            "`os.system`, which is refused",
        ),
        (
            b"\x80\x02c__builtin__\neval\nU\x011\x85R.",
            "`__builtin__.eval`",
        ),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "`os.system`"),
        (b"\x80\x02(ios\nsystem\n.", "0x69 is refused"),
        (b"\x80\x02K\x01K\x01\x85R.", "cannot be called"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02K\x01.", "no dictionary"),
        (b"not a pickle", "byte 0"),
        (b"", "truncated"),
    ] {
        let error = parse(bytes).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn arrays_must_be_rows_of_bytes() {
    let pickled = |dtype: &str, fortran: u8| {
        let mut p =
            b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n".to_vec();
        p.extend(b"K\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02");
        p.extend(dtype.as_bytes());
        p.extend([
            b'K', 0, b'K', 1, 0x87, b'R', fortran, b'U', 2, 5, 6, b't', b'b', b's', b'.',
        ]);
        p
    };
    let good = pickled("u1", 0x89);
    let pickle = parse(&good).unwrap();
    let (shape, data) = pickle.bytes_array("data").unwrap();
    assert_eq!((&shape[..], &data[..]), (&[2][..], &[5, 6][..]));
    for (bytes, part) in [
        (pickled("f4", 0x89), "type f4, not u1"),
        (pickled("u1", 0x88), "column by column"),
        (
            b"\x80\x02}U\x04datacnumpy\nndarray\nK\x01\x85Rs.".to_vec(),
            "no NumPy array",
        ),
    ] {
        let error = parse(&bytes).unwrap().bytes_array("data").unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// Cut anywhere and changed anywhere, a pickle is an error or a value, never a panic.
#[test]
fn damage_never_panics() {
    for bytes in [PROTOCOL_2, PROTOCOL_4] {
        for cut in (0..bytes.len()).step_by(13).chain(0..300) {
            assert!(parse(&bytes[..cut]).is_err());
        }
        let mut damaged = bytes.to_vec();
        for at in (0..300).chain(bytes.len() - 100..bytes.len()) {
            for value in [0, b'(', b'.', b'b', b'e', b'u', b't', b'R', 0x87, 0xff] {
                let old = std::mem::replace(&mut damaged[at], value);
                if let Ok(pickle) = parse(&damaged) {
                    let _ = (pickle.bytes_array("data"), pickle.integers("labels"));
                }
                damaged[at] = old;
            }
        }
    }
}
