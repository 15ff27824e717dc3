//! Notifications: a team's own server is told what happens to its credentials.

mod failing;
pub(crate) mod receiver;
mod receivers_in_docs;
mod rotation;
mod smallest;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::Value;

use crate::world::{Answer, Caller, World, send};

impl Caller {
    /// `PUT /v2/notification-endpoint`
    pub(crate) async fn put_endpoint(&self, body: Value) -> Answer {
        send(
            self.request(Method::PUT, "/v2/notification-endpoint")
                .json(&body),
        )
        .await
    }

    /// `GET /v2/notification-endpoint`
    pub(crate) async fn endpoint(&self) -> Answer {
        send(self.request(Method::GET, "/v2/notification-endpoint")).await
    }

    /// `DELETE /v2/notification-endpoint`
    pub(crate) async fn delete_endpoint(&self) -> Answer {
        send(self.request(Method::DELETE, "/v2/notification-endpoint")).await
    }

    /// `POST /v2/notification-endpoint/test`
    pub(crate) async fn test_endpoint(&self) -> Answer {
        send(self.request(Method::POST, "/v2/notification-endpoint/test")).await
    }
}

impl World {
    /// Changes the URL in the row of `acme`, past the rules of the API.
    async fn set_endpoint_url(&self, url: &str) {
        self.set_in_endpoint("url", url).await;
    }

    /// Ends the time in which the earlier secret of `acme` signs too.
    async fn end_endpoint_rotation(&self) {
        self.set_in_endpoint("alt_until", "2020-01-01T00:00:00.000Z")
            .await;
    }

    async fn set_in_endpoint(&self, name: &str, text: &str) {
        let key = format!("notification#{}", self.team("acme"));
        let update = self
            .dynamodb
            .update_item()
            .table_name("secrets")
            .key("secret_id", AttributeValue::S(key))
            .update_expression("SET #name = :text")
            .condition_expression("attribute_exists(secret_id)")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":text", AttributeValue::S(text.to_owned()));
        update.send().await.unwrap();
    }
}
