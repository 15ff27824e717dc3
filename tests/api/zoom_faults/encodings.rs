//! Answers of Zoom with another success status, with a byte-order mark, or packed although nobody asked for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use hyper::{Response, StatusCode};

use super::{REFUSED, assert_nothing_stored};
use crate::minting::mint_onbehalf;
use crate::proxy::{Fault, Rule, Service};
use crate::world::{CODE_SPENT, World, code_refused, id_of, user_body};

/// A change of every answer of Zoom.
type Change = fn(&mut Response<Bytes>);

fn created(answer: &mut Response<Bytes>) {
    *answer.status_mut() = StatusCode::CREATED;
}

fn accepted(answer: &mut Response<Bytes>) {
    *answer.status_mut() = StatusCode::ACCEPTED;
}

fn marked(answer: &mut Response<Bytes>) {
    *answer.body_mut() = [b"\xef\xbb\xbf", &answer.body()[..]].concat().into();
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap().into()
}

fn packed(answer: &mut Response<Bytes>) {
    *answer.body_mut() = gzip(answer.body());
    let gzip = HeaderValue::from_static("gzip");
    answer.headers_mut().insert(CONTENT_ENCODING, gzip);
}

fn packed_without_a_header(answer: &mut Response<Bytes>) {
    *answer.body_mut() = gzip(answer.body());
}

fn packed_with_a_mark(answer: &mut Response<Bytes>) {
    marked(answer);
    packed(answer);
}

const CHANGES: [(&str, Change); 6] = [
    ("201", created),
    ("202", accepted),
    ("a byte-order mark", marked),
    ("gzip", packed),
    ("gzip without a header", packed_without_a_header),
    ("gzip with a byte-order mark", packed_with_a_mark),
];

/// Every answer of Zoom is changed.
fn change_answers(world: &World, change: Change) {
    world.wire.inject(Rule {
        service: Some(Service::Zoom),
        operation: None,
        nth: None,
        fault: Fault::Rewrite(change),
    });
}

#[tokio::test]
async fn an_answer_in_an_unusual_form_is_read_all_the_same() {
    for (name, change) in CHANGES {
        let world = World::new().await;
        change_answers(&world, change);

        let answer = world.acme.create(user_body("desk", &world.code())).await;
        assert_eq!(answer.status, 201, "{name}: {}", answer.text);
        let data = answer.expect(201);
        assert_eq!(data["zoom_user_id"], "ada", "{name}");

        world.expire_access_tokens().await;
        let answer = mint_onbehalf(&world.acme, &id_of(&data)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(world.zoom.grants()[0].generation, 2, "{name}");
    }
}

/// An error object is read in the same way as a success.
#[tokio::test]
async fn a_refusal_in_an_unusual_form_is_understood() {
    for change in [marked, packed, packed_without_a_header] {
        let world = World::new().await;
        let code = world.code();
        let first = world
            .acme
            .create_as("first", user_body("desk", &code))
            .await;
        first.expect(201);
        change_answers(&world, change);

        let again = world
            .acme
            .create_as("again", user_body("desk", &code))
            .await;

        again.expect_error(400, REFUSED, &code_refused(CODE_SPENT));
    }
}

fn cut(answer: &mut Response<Bytes>) {
    packed(answer);
    let half = answer.body().len() / 2;
    *answer.body_mut() = answer.body().slice(..half);
}

/// A short stream that unpacks to 4 MB.
fn bomb(answer: &mut Response<Bytes>) {
    *answer.body_mut() = gzip(&vec![b' '; 4 << 20]);
}

// assures 29
#[tokio::test]
async fn a_packed_answer_that_is_cut_or_too_long_is_a_failure_of_zoom() {
    for change in [cut, bomb] {
        let world = World::new().await;
        change_answers(&world, change);
        let answer = world.acme.create(user_body("desk", &world.code())).await;
        answer.expect_code(502, "FST_ERR_ZOOM_UNAVAILABLE");
        assert_nothing_stored(&world).await;
    }
}
