//! Replies to bytes.
//!
//! The one place that knows what both protocols look like; the golden bytes of
//! each shape are in the tests below.

use super::{DoubleText, IntegerText, Protocol, Reply};

const CRLF: &[u8] = b"\r\n";

/// Which kind of text a verbatim string is, with the colon that ends it.
const PLAIN_TEXT: &[u8] = b"txt:";

/// Writes replies of one protocol behind what is in `out` already.
pub(super) struct Encoder<'o> {
    pub(super) protocol: Protocol,
    pub(super) out: &'o mut Vec<u8>,
}

impl Encoder<'_> {
    pub(super) fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Simple(text) => self.simple(text),
            Reply::Error(text) => self.error(text),
            Reply::Integer(value) => self.line(b':', IntegerText::new(*value).as_bytes()),
            Reply::Double(value) => self.double(DoubleText::new(*value).as_bytes()),
            Reply::Decimal(text) => self.double(text.as_bytes()),
            Reply::Boolean(value) => self.boolean(*value),
            Reply::Bulk(bytes) => self.bulk(bytes),
            Reply::Null => self.null(b"$-1\r\n"),
            Reply::NullArray => self.null(b"*-1\r\n"),
            Reply::Array(items) => self.items(b'*', items),
            Reply::Map(pairs) => self.map(pairs),
            Reply::Pairs(pairs) => self.pairs(pairs),
            Reply::Keyed(pairs) => self.keyed(pairs),
            Reply::Set(items) => self.items(b'~', items),
            Reply::Push(items) => self.items(b'>', items),
            Reply::Attribute(pairs) => self.attribute(pairs),
            Reply::Verbatim(text) => self.verbatim(text.as_bytes()),
        }
    }

    fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "a status is one line");
        self.line(b'+', text.as_bytes());
    }

    fn error(&mut self, text: &str) {
        self.out.push(b'-');
        let one_line = text.bytes().map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        });
        self.out.extend(one_line);
        self.out.extend_from_slice(CRLF);
    }

    fn double(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    fn boolean(&mut self, value: bool) {
        let bytes = match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        };
        self.out.extend_from_slice(bytes);
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(CRLF);
    }

    fn null(&mut self, resp2: &[u8]) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => b"_\r\n",
        });
    }

    fn items(&mut self, resp3: u8, items: &[Reply]) {
        self.header(self.or_array(resp3), items.len());
        for item in items {
            self.reply(item);
        }
    }

    fn attribute(&mut self, pairs: &[(Reply, Reply)]) {
        if self.protocol == Protocol::Resp3 {
            self.header(b'|', pairs.len());
            for (name, value) in pairs {
                self.reply(name);
                self.reply(value);
            }
        }
    }

    fn map(&mut self, pairs: &[(Reply, Reply)]) {
        let entries = match self.protocol {
            Protocol::Resp2 => 2 * pairs.len(),
            Protocol::Resp3 => pairs.len(),
        };
        self.header(self.or_array(b'%'), entries);
        for (key, value) in pairs {
            self.reply(key);
            self.reply(value);
        }
    }

    fn pairs(&mut self, pairs: &[(Reply, Reply)]) {
        let entries = match self.protocol {
            Protocol::Resp2 => 2 * pairs.len(),
            Protocol::Resp3 => pairs.len(),
        };
        self.header(b'*', entries);
        for (first, second) in pairs {
            if self.protocol == Protocol::Resp3 {
                self.header(b'*', 2);
            }
            self.reply(first);
            self.reply(second);
        }
    }

    fn keyed(&mut self, pairs: &[(Reply, Reply)]) {
        self.header(self.or_array(b'%'), pairs.len());
        for (key, value) in pairs {
            if self.protocol == Protocol::Resp2 {
                self.header(b'*', 2);
            }
            self.reply(key);
            self.reply(value);
        }
    }

    fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', PLAIN_TEXT.len() + text.len());
                self.out.extend_from_slice(PLAIN_TEXT);
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(CRLF);
            }
        }
    }

    fn or_array(&self, resp3: u8) -> u8 {
        match self.protocol {
            Protocol::Resp2 => b'*',
            Protocol::Resp3 => resp3,
        }
    }

    fn header(&mut self, kind: u8, count: usize) {
        self.line(kind, IntegerText::count(count).as_bytes());
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(CRLF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply, protocol: Protocol) -> String {
        let mut out = Vec::new();
        reply.encode(protocol, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn assert_golden(reply: Reply, resp2: &str, resp3: &str) {
        assert_eq!(encoded(&reply, Protocol::Resp2), resp2, "{reply:?}");
        assert_eq!(encoded(&reply, Protocol::Resp3), resp3, "{reply:?}");
    }

    fn assert_golden_in_both(reply: Reply, bytes: &str) {
        assert_golden(reply, bytes, bytes);
    }

    #[test]
    fn strings_errors_integers_and_arrays_are_the_same_in_both() {
        assert_golden_in_both(Reply::ok(), "+OK\r\n");
        assert_golden_in_both(Reply::syntax_error(), "-ERR syntax error\r\n");
        assert_golden_in_both(Reply::from(-42), ":-42\r\n");
        assert_golden_in_both(Reply::from(i64::MIN), ":-9223372036854775808\r\n");
        assert_golden_in_both(Reply::bulk("a\r\nb"), "$4\r\na\r\nb\r\n");
        assert_golden_in_both(Reply::bulk(""), "$0\r\n\r\n");
        assert_golden_in_both(Reply::array([1, 2]), "*2\r\n:1\r\n:2\r\n");
        assert_golden_in_both(Reply::Array(Vec::new()), "*0\r\n");
    }

    #[test]
    fn an_error_is_one_line_whatever_it_quotes() {
        assert_golden_in_both(
            Reply::error("ERR unknown command 'a\r\n+OK\r\n'"),
            "-ERR unknown command 'a  +OK  '\r\n",
        );
    }

    #[test]
    fn a_double_is_a_bulk_string_in_resp2() {
        assert_golden(Reply::from(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        assert_golden(Reply::from(10.0), "$2\r\n10\r\n", ",10\r\n");
        assert_golden(Reply::from(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        assert_golden(Reply::from(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        assert_golden(Reply::from(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n");
    }

    #[test]
    fn a_boolean_is_an_integer_in_resp2() {
        assert_golden(Reply::Boolean(true), ":1\r\n", "#t\r\n");
        assert_golden(Reply::Boolean(false), ":0\r\n", "#f\r\n");
    }

    #[test]
    fn resp2_has_two_nulls_and_resp3_has_one() {
        assert_golden(Reply::Null, "$-1\r\n", "_\r\n");
        assert_golden(Reply::NullArray, "*-1\r\n", "_\r\n");
    }

    #[test]
    fn a_map_is_a_flat_array_in_resp2() {
        assert_golden(
            Reply::map([(Reply::bulk("a"), 1), (Reply::bulk("b"), 2)]),
            "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n",
            "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n",
        );
        assert_golden(Reply::Map(Vec::new()), "*0\r\n", "%0\r\n");
        let pairs = Reply::Pairs(vec![(Reply::copied(b"m"), Reply::Double(1.5))]);
        assert_golden(pairs, "*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n", "*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n");
    }

    #[test]
    fn keyed_replies_are_pairs_in_resp2_and_a_map_in_resp3() {
        let keyed = Reply::Keyed(vec![(Reply::copied(b"s"), Reply::Integer(1))]);
        assert_golden(keyed, "*1\r\n*2\r\n$1\r\ns\r\n:1\r\n", "%1\r\n$1\r\ns\r\n:1\r\n");
    }

    #[test]
    fn a_set_and_a_push_are_arrays_in_resp2() {
        assert_golden(Reply::set([1]), "*1\r\n:1\r\n", "~1\r\n:1\r\n");
        assert_golden(Reply::push([1]), "*1\r\n:1\r\n", ">1\r\n:1\r\n");
    }

    #[test]
    fn a_verbatim_text_is_a_bulk_string_in_resp2() {
        let reply = Reply::Verbatim("# Server\r\n".to_owned());
        assert_golden(reply, "$10\r\n# Server\r\n\r\n", "=14\r\ntxt:# Server\r\n\r\n");
    }

    #[test]
    fn replies_inside_of_replies_fall_back_too() {
        assert_golden(
            Reply::array([Reply::set([0.5]), Reply::Null]),
            "*2\r\n*1\r\n$3\r\n0.5\r\n$-1\r\n",
            "*2\r\n~1\r\n,0.5\r\n_\r\n",
        );
    }

    #[test]
    fn a_reply_is_written_behind_what_is_there() {
        let mut out = b"+OK\r\n".to_vec();
        Reply::Null.encode(Protocol::Resp2, &mut out);
        assert_eq!(out, b"+OK\r\n$-1\r\n");
    }

    /// Every shape, and one inside of another.
    fn every_shape() -> Vec<Reply> {
        let mut shapes = vec![
            Reply::ok(),
            Reply::error("ERR it says \r\n"),
            Reply::Integer(i64::MIN),
            Reply::Double(-1.7976931348623157e308),
            Reply::Double(f64::INFINITY),
            Reply::Double(f64::NEG_INFINITY),
            Reply::Double(f64::NAN),
            Reply::Boolean(true),
            Reply::bulk(&b"\x00\r\n\xff"[..]),
            Reply::Null,
            Reply::NullArray,
            Reply::array([1, 2, 3]),
            Reply::map([(1, 2.5), (2, 1e-9)]),
            Reply::set([1, 2, 3]),
            Reply::Verbatim("a\r\nb".to_owned()),
        ];
        shapes.push(Reply::Array(shapes.clone()));
        shapes.push(Reply::push([Reply::bulk("message"), Reply::bulk("hi")]));
        shapes
    }

    #[test]
    fn another_decoder_of_resp2_reads_every_shape_to_its_end() {
        use redis_protocol::resp2::decode::decode;
        use redis_protocol::resp2::types::OwnedFrame;

        for reply in every_shape() {
            let mut out = Vec::new();
            reply.encode(Protocol::Resp2, &mut out);
            let (frame, len) = decode(&out).unwrap().unwrap();
            assert_eq!(len, out.len(), "{reply:?}");
            let right = match (&reply, &frame) {
                (Reply::Simple(text), OwnedFrame::SimpleString(read)) => text.as_bytes() == read,
                (Reply::Error(_), OwnedFrame::Error(read)) => read == "ERR it says   ",
                (Reply::Integer(value), OwnedFrame::Integer(read)) => value == read,
                (Reply::Boolean(value), OwnedFrame::Integer(read)) => i64::from(*value) == *read,
                (Reply::Double(value), OwnedFrame::BulkString(read)) => DoubleText::new(*value).as_bytes() == read,
                (Reply::Bulk(bytes), OwnedFrame::BulkString(read)) => bytes == read,
                (Reply::Verbatim(text), OwnedFrame::BulkString(read)) => text.as_bytes() == read,
                (Reply::Null | Reply::NullArray, OwnedFrame::Null) => true,
                (Reply::Map(pairs), OwnedFrame::Array(read)) => 2 * pairs.len() == read.len(),
                (Reply::Array(items) | Reply::Set(items) | Reply::Push(items), OwnedFrame::Array(read)) => {
                    items.len() == read.len()
                }
                _ => false,
            };
            assert!(right, "{reply:?} was read as {frame:?}");
        }
    }

    #[test]
    fn another_decoder_of_resp3_reads_every_shape_to_its_end() {
        use redis_protocol::resp3::decode::complete::decode;
        use redis_protocol::resp3::types::OwnedFrame;

        for reply in every_shape() {
            let mut out = Vec::new();
            reply.encode(Protocol::Resp3, &mut out);
            let (frame, len) = decode(&out).unwrap().unwrap();
            assert_eq!(len, out.len(), "{reply:?}");
            let right = match (&reply, &frame) {
                (Reply::Simple(text), OwnedFrame::SimpleString { data, .. }) => text.as_bytes() == data,
                (Reply::Error(_), OwnedFrame::SimpleError { data, .. }) => data == "ERR it says   ",
                (Reply::Integer(value), OwnedFrame::Number { data, .. }) => value == data,
                (Reply::Boolean(value), OwnedFrame::Boolean { data, .. }) => value == data,
                (Reply::Double(value), OwnedFrame::Double { data, .. }) => {
                    value == data || (value.is_nan() && data.is_nan())
                }
                (Reply::Bulk(bytes), OwnedFrame::BlobString { data, .. }) => bytes == data,
                (Reply::Verbatim(text), OwnedFrame::VerbatimString { data, .. }) => text.as_bytes() == data,
                (Reply::Null | Reply::NullArray, OwnedFrame::Null) => true,
                (Reply::Map(pairs), OwnedFrame::Map { data, .. }) => pairs.len() == data.len(),
                (Reply::Array(items), OwnedFrame::Array { data, .. })
                | (Reply::Push(items), OwnedFrame::Push { data, .. }) => items.len() == data.len(),
                (Reply::Set(items), OwnedFrame::Set { data, .. }) => items.len() == data.len(),
                _ => false,
            };
            assert!(right, "{reply:?} was read as {frame:?}");
        }
    }
}
