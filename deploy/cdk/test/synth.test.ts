// Synthesizes the example and compares its template with the template of the release in the folder RELEASE.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { App, Aws, Stack } from 'aws-cdk-lib';
import { VaultStack } from '../lib/vault';

const release = process.env.RELEASE;
assert(release, 'Set the environment variable RELEASE to the folder of a release.');
const packaged = JSON.parse(readFileSync(join(release, 'template.json'), 'utf8'));

const assembly = mkdtempSync(join(tmpdir(), 'vault-cdk-'));
after(() => rmSync(assembly, { recursive: true }));
execFileSync('node', [join(__dirname, '../example/app.js')], {
  env: { ...process.env, CDK_OUTDIR: assembly, CODE_BUCKET: 'code-bucket' },
});
const synthesized = JSON.parse(readFileSync(join(assembly, 'zoom-credentials.template.json'), 'utf8'));

describe('the template of the example', () => {
  it('has the sections of the release, and no other', () => {
    assert.deepEqual(Object.keys(synthesized).sort(), Object.keys(packaged).sort());
  });

  for (const section of Object.keys(packaged).filter((name) => name !== 'Parameters')) {
    it(`has the same ${section} as the release`, () => {
      assert.deepEqual(synthesized[section], packaged[section]);
    });
  }

  it('has the same Parameters as the release, but each has its value as default and as only allowed value', () => {
    const values: Record<string, unknown> = {
      CodeBucket: 'code-bucket',
      Architecture: 'x86_64',
      LogRetentionDays: 365,
      Alarms: 'all',
    };
    const expected: Record<string, unknown> = {};
    for (const [name, parameter] of Object.entries<Record<string, unknown>>(packaged.Parameters)) {
      const value = values[name] ?? parameter.Default;
      const isList = /^(List<|CommaDelimitedList)/.test(String(parameter.Type));
      expected[name] = { ...parameter, Default: value, ...(isList ? {} : { AllowedValues: [String(value)] }) };
    }
    assert.deepEqual(synthesized.Parameters, expected);
  });
});

describe('the stack', () => {
  it('has an output of the template as a value for other constructs', () => {
    const stack = new VaultStack(new App(), 'vault', { release, parameters: { codeBucket: 'code-bucket' } });
    assert.deepEqual(stack.resolve(stack.outputs.busName.value), { Ref: 'Bus' });
    assert.equal(stack.terminationProtection, true);
  });

  it('has an output of the template as a value for another stack, by the name of its export', () => {
    const app = new App();
    const vault = new VaultStack(app, 'vault', { release, parameters: { codeBucket: 'code-bucket' } });
    assert.deepEqual(packaged.Outputs.BusArn.Export.Name, { 'Fn::Sub': '${AWS::StackName}-BusArn' });
    const value = new Stack(app, 'other').resolve(vault.importValue('busArn'));
    assert.deepEqual(value, { 'Fn::ImportValue': 'vault-BusArn' });
  });

  it('refuses a value that CloudFormation knows only later', () => {
    const parameters = { codeBucket: 'code-bucket', alarmTopicArn: Aws.REGION };
    assert.throws(() => new VaultStack(new App(), 'vault', { release, parameters }), /AlarmTopicArn needs a text/);
  });

  it('refuses a parameter that the release does not have', () => {
    const parameters = { codeBucket: 'code-bucket', fromALaterRelease: 'yes' };
    assert.throws(() => new VaultStack(new App(), 'vault', { release, parameters }), /no parameter FromALaterRelease/);
  });
});
