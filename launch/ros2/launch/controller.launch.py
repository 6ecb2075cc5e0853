"""The real-time controller as a lifecycle node; brought to active by itself with autostart:=true."""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, GroupAction, RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import LifecycleNode, SetParameter, SetParametersFromFile
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

ARGUMENTS = [
    ('policy', '', "the policy file; empty: the parameter of that name in params_file"),
    ('robot_map', '', "the YAML file that maps the policy's joints to topics; empty: the one in params_file, or the default"),
    ('rate', '', "of the loop, Hz; empty: the one in params_file"),
    ('params_file', PathJoinSubstitution([FindPackageShare('farsight'), 'config', 'controller.yaml']),
     "parameters of the node"),
    ('namespace', '', "namespace of the node and its topics"),
    ('use_sim_time', '', "true is refused: the loop does not follow /clock"),
    ('log_level', '', "debug, info, warn or error; empty: the one in params_file"),
    ('autostart', 'true', "configure and activate, once; a person does it otherwise"),
    ('robot_timeout',
     PythonExpression(["'86400' if '", LaunchConfiguration('autostart'), "'.lower() in ('true', '1') else ''"]),
     "s that configure waits for the robot's drivers, a day with autostart; empty: the one in params_file"),
    ('respawn', 'false', "start the process anew when it died; it then waits, unconfigured, for a person"),
    ('sigterm_timeout', '10', "s that the controller gets to stop the robot and close its recordings"),
]
PARAMETERS = {'policy': str, 'robot_map': str, 'rate': float, 'use_sim_time': bool, 'log_level': str,
              'robot_timeout': float}


def generate_launch_description():
    node = LifecycleNode(
        package='farsight',
        executable='controller',
        name='farsight_controller',
        namespace=LaunchConfiguration('namespace'),
        arguments=['--wait'],
        respawn=LaunchConfiguration('respawn'),
        respawn_delay=2.0,
        sigterm_timeout=LaunchConfiguration('sigterm_timeout'),
        output='screen',
    )
    autostart = IfCondition(LaunchConfiguration('autostart'))
    configure = EmitEvent(
        condition=autostart,
        event=ChangeState(
            lifecycle_node_matcher=matches_action(node),
            transition_id=Transition.TRANSITION_CONFIGURE,
        ),
    )
    # Once: what a person configures after a crash does not move before that person activates it.
    activate_when_configured = RegisterEventHandler(
        condition=autostart,
        event_handler=OnStateTransition(
            target_lifecycle_node=node,
            start_state='configuring',
            goal_state='inactive',
            handle_once=True,
            entities=[
                EmitEvent(
                    event=ChangeState(
                        lifecycle_node_matcher=matches_action(node),
                        transition_id=Transition.TRANSITION_ACTIVATE,
                    )
                )
            ],
        ),
    )
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS),
            # The later wins: an argument that is given stands above the file.
            GroupAction(
                [
                    SetParametersFromFile(LaunchConfiguration('params_file')),
                    *(parameter_when_given(name, kind) for name, kind in PARAMETERS.items()),
                    activate_when_configured,
                    node,
                    configure,
                ]
            ),
        ]
    )


def parameter_when_given(name, kind):
    # Of its type: rate:=500 is meant as a double.
    given = IfCondition(PythonExpression(["'", LaunchConfiguration(name), "' != ''"]))
    return SetParameter(name, ParameterValue(LaunchConfiguration(name), value_type=kind), condition=given)
