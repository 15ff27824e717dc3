// Installs the release in the folder RELEASE, whose code is in the bucket CODE_BUCKET.
import { App } from 'aws-cdk-lib';
import { VaultStack } from '../lib/vault';

function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`Set the environment variable ${name}.`);
  return value;
}

new VaultStack(new App(), 'zoom-credentials', {
  release: variable('RELEASE'),
  parameters: {
    codeBucket: variable('CODE_BUCKET'),
    architecture: 'x86_64',
    logRetentionDays: 365,
    alarms: 'all',
  },
});
