export { Vault } from './client.js';
export { ApiError, NoAnswerError, NotificationError, VaultError } from './errors.js';
export { VERSION } from './generated/operations.js';
export { verifyNotification } from './notifications.js';
