import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultStackSynthesizer, Fn, Stack, Token, Validations } from 'aws-cdk-lib';
import type { CfnParameter, StackProps } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import type { Construct } from 'constructs';
import type { VaultOutputs, VaultParameters } from './generated';

export type { VaultOutputs, VaultParameters } from './generated';

export interface VaultStackProps extends StackProps {
  /** The folder of a release, with the file `template.json`. */
  readonly release: string;
  readonly parameters: VaultParameters;
}

/** Rules of CDK's validation that do not know SAM or conditions. cfn-lint checks each release with rules that do. */
const WRONG_WARNINGS = [
  { id: 'E3005', reason: 'SAM adds the resource, or the resource has a condition.' },
  { id: 'W1001', reason: 'The other branch of the condition names an existing table.' },
  { id: 'W1028', reason: 'The same list of actions belongs to alarms with different conditions.' },
  { id: 'W1030', reason: 'A condition excludes the empty value.' },
  { id: 'W2502', reason: 'CloudFormation ignores DependsOn if the other resource does not exist.' },
  { id: 'W2503', reason: 'The reference is in a condition of its own.' },
  { id: 'W2509', reason: 'SecretsTableName is the name of a table.' },
].map(({ id, reason }) => ({ id: `CloudFormation-Validate::${id}`, reason }));

interface Template {
  readonly Parameters: Record<string, { readonly Default?: unknown }>;
  readonly Resources: Record<string, Record<string, unknown>>;
  readonly Outputs: Record<string, unknown>;
}

/** A stack with the template of a release, and nothing else. */
export class VaultStack extends Stack {
  /** The outputs, for constructs in this stack. For other stacks, use `importValue`. */
  readonly outputs: VaultOutputs;

  constructor(scope: Construct, id: string, { release, parameters, ...props }: VaultStackProps) {
    super(scope, id, {
      terminationProtection: true,
      // Without these two settings, CDK adds a parameter, a rule and a resource to the template.
      synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
      analyticsReporting: false,
      ...props,
    });
    Validations.of(this).acknowledge(...WRONG_WARNINGS);
    const templateFile = join(release, 'template.json');
    const template: Template = JSON.parse(readFileSync(templateFile, 'utf8'));
    const include = new CfnInclude(this, 'Template', {
      templateFile,
      // CDK must not parse the resources: it knows neither the resources that SAM adds, nor every property.
      dehydratedResources: Object.keys(template.Resources),
    });
    for (const [name, resource] of Object.entries(template.Resources)) {
      // CfnInclude forgets the name and two attributes of a resource that it does not parse.
      const included = include.getResource(name);
      included.overrideLogicalId(name);
      for (const attribute of ['Condition', 'DependsOn']) {
        if (attribute in resource) included.addOverride(attribute, resource[attribute]);
      }
    }
    const values = new Map(Object.entries(parameters).map(([name, value]) => [pascalCase(name), value]));
    for (const name of values.keys()) {
      if (!(name in template.Parameters)) {
        throw new Error(`${templateFile} has no parameter ${name}. Use the construct of the same release.`);
      }
    }
    for (const [name, { Default }] of Object.entries(template.Parameters)) {
      const value = values.get(name) ?? Default;
      if (value === undefined) throw new Error(`The parameter ${name} of ${templateFile} needs a value.`);
      setValue(include.getParameter(name), name, value);
    }
    const outputs = Object.keys(template.Outputs).map((name) => [camelCase(name), include.getOutput(name)]);
    this.outputs = Object.fromEntries(outputs);
  }

  /** The value of an output, for another stack. With `outputs`, CDK would add an export to the template. */
  importValue(output: keyof VaultOutputs): string {
    return Fn.importValue(`${this.stackName}-${pascalCase(output)}`);
  }
}

/**
 * Gives a parameter its value. On an update, `cdk deploy` ignores a changed default and keeps the previous value. With
 * only one allowed value, CloudFormation refuses such an update. Without it, old code would stay.
 */
function setValue(parameter: CfnParameter, name: string, value: unknown) {
  if (Token.isUnresolved(value)) {
    throw new Error(`The parameter ${name} needs a text or a number, because the template compares its value.`);
  }
  if (Array.isArray(value)) {
    parameter.default = value.join(',');
    return;
  }
  parameter.default = value;
  if (!parameter.type.startsWith('List<') && parameter.type !== 'CommaDelimitedList') {
    parameter.allowedValues = [String(value)];
  }
}

const camelCase = (name: string) => name.charAt(0).toLowerCase() + name.slice(1);
const pascalCase = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);
