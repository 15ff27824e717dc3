//! The list of credentials, through its handler: from API Gateway's event to the answer. DynamoDB answers from memory.

use functions::credentials::list;
use functions::http::request::Request;
use functions::runtime::invoke;
use lambda_http::Body;
use serde_json::json;
use shared::stores::{Credentials, Keys, Requests};

use crate::requests::{API_KEY, lambda_event, runtime};
use crate::{Operation, Run, dynamodb, run};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

pub(crate) fn operations() -> Vec<Operation> {
    let of_size = |size: usize| {
        let repeats = u32::try_from(10_000 / size).unwrap().min(50);
        [("list", ""), ("filter", "BOT 7")].map(|(kind, part)| {
            let name = format!("{kind}-{size}");
            Operation::new(name, repeats, move || answer(size, part))
        })
    };
    SIZES.into_iter().flat_map(of_size).collect()
}

/// Lists the credentials whose name contains `part`. No part: all.
fn answer(size: usize, part: &str) -> Run {
    let client = dynamodb::client(size);
    let keys = Keys::new(client.clone(), "keys".to_owned());
    let requests = Requests::new(client.clone(), "requests".to_owned());
    let credentials = Credentials::new(client, "credentials".to_owned());
    let event = json!({
        "resource": "/v2/zoom-credentials",
        "httpMethod": "GET",
        "headers": {"x-meeting-baas-api-key": API_KEY},
        "queryStringParameters": {"name": part},
    });
    let event = event.to_string();
    let runtime = runtime();
    let ask = move || {
        let handler =
            async |request: Request| list::handle(&keys, &requests, &credentials, &request).await;
        let answer = runtime.block_on(invoke(list::ROUTE, lambda_event(&event), handler));
        let Some(Body::Text(body)) = answer.body else {
            panic!("the answer has no text");
        };
        body
    };
    let is_match = |number: &usize| dynamodb::name(*number).contains(&part.replace("BOT", "Bot"));
    let body = ask();
    assert_eq!(
        body.matches("\"credential_id\"").count(),
        (0..size).filter(is_match).count(),
        "{body}"
    );
    run(ask)
}
